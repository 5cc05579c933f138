"""The pages by which people sign in and out, see where else they are signed in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.guesses import BusyError
from deploywatch.access.scopes import IDENTITY, Identity, Scope, needs
from deploywatch.access.webconfig import Access, Proof
from deploywatch.pages import answer
from deploywatch.pages.environment import templates_in
from deploywatch.receiver.api.routing import guarded
from deploywatch.receiver.context import Context
from deploywatch.receiver.lifecycle import audit
from deploywatch.receiver.lifecycle.audit import Entry
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.sign_in import sessions
from deploywatch.receiver.sign_in.local_path import SIGN_IN, SIGN_OUT, local_path
from deploywatch.receiver.sign_in.people import People
from deploywatch.receiver.sign_in.refusals import Refusals
from deploywatch.receiver.sign_in.sessions import Origin
from deploywatch.web.admission import takes_forms

SESSIONS = "/sessions"
END = f"{SESSIONS}/end"
_TEMPLATES = templates_in(Path(__file__).parent / "templates")
_NAME_LIMIT = 200
_WRONG = "That name and password, or that token, is not known here."
_NAMELESS = "This token names nobody. Sign in with a token that has a name in the web config."


class SignInRoutes:
    """The routes; each refusal is counted, logged, and stands in the audit."""

    def __init__(self, context: Context, access: Access, people: People) -> None:
        self._context = context
        self._access = access
        self._people = people
        self._refusals = Refusals()

    def add_to(self, app: web.Application) -> None:
        """Add the routes; those of the sign-in itself are open to all."""
        router = app.router
        needs(Scope.READ, router.add_get(SIGN_IN, guarded(self._form)))
        needs(Scope.READ, takes_forms(router.add_post(SIGN_IN, guarded(self._sign_in))))
        needs(Scope.READ, takes_forms(router.add_post(SIGN_OUT, guarded(self._sign_out))))
        needs(Scope.READ, router.add_get(SESSIONS, guarded(self._listed)))
        needs(Scope.READ, takes_forms(router.add_post(END, guarded(self._end))))
        needs(Scope.ADMIN, takes_forms(router.add_post(f"{END}-all", guarded(self._end_all))))

    async def _form(self, request: web.Request) -> web.Response:
        """The sign-in."""
        return self._sign_in_page(local_path(request.query.get("next", "/")), again="again" in request.query)

    async def _sign_in(self, request: web.Request) -> web.Response:
        """Sign in by a name and password, or by a token."""
        form = await request.post()
        name, token, wanted = _text(form, "name"), _text(form, "token").strip(), local_path(_text(form, "next"))
        try:
            proof = await self._proof(name, _text(form, "password"), token, request.remote or "")
        except BusyError as error:
            text = f"Too many were wrong, or wait to be checked. Try again in {error.retry_after} s."
            refused = self._sign_in_page(wanted, error=text, name=name, status=429)
            refused.headers["Retry-After"] = str(error.retry_after)
            return refused
        if proof is None or not proof.identity.name:
            await self._note_refusal(request, name or ("a token" if token else ""))
            return self._sign_in_page(wanted, error=_WRONG if proof is None else _NAMELESS, name=name, status=401)
        key, who = sessions.new_key(), proof.identity
        old, now = request.cookies.get(self._people.cookie, ""), self._context.clock()

        def write(connection: Connection) -> None:
            # A new key at each sign-in, and the old one ends: a key that somebody planted is worth nothing.
            sessions.end(connection, sessions.hashed(old))
            user = name if who.kind == "password" else ""
            sessions.begin(
                connection, key, _origin(request), now, kind=who.kind, name=who.name, user=user, credential=proof.digest
            )
            audit.record(connection, self._entry(request, "sessions.begin", who.name, detail={"by": who.kind}))

        await self._context.store.write(write)
        response = self._see(wanted)
        self._people.remember(response, key)
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        """End this session, or with `everywhere` each of this name."""
        # It is open to all, so that whoever may do nothing else may do this.
        identity, everywhere = await self._people.identify(request), bool(_text(await request.post(), "everywhere"))

        def write(connection: Connection, who: Identity) -> None:
            ended = sessions.end(connection, who.session)
            if everywhere:
                ended += sessions.end_all(connection, name=who.name)
            audit.record(connection, self._entry(request, "sessions.end", who.name, detail={"ended": ended}))

        if identity is not None:
            who = identity
            await self._context.store.write(lambda connection: write(connection, who))
        response = self._see(SIGN_IN)
        self._people.forget(response)
        return response

    async def _listed(self, request: web.Request) -> web.Response:
        """Who is signed in here, and where else."""
        return await self._sessions_page(request)

    async def _end(self, request: web.Request) -> web.Response:
        """End one session of one's own; who may administer ends any."""
        identity, wanted = request[IDENTITY], _text(await request.post(), "session")
        # In the statement itself, so that a guessed number of somebody else's session ends nothing.
        name = None if Scope.ADMIN in identity.scopes else identity.name

        def write(connection: Connection) -> None:
            if ended := sessions.end(connection, wanted, name=name):
                audit.record(connection, self._entry(request, "sessions.end", identity.name, detail={"ended": ended}))

        await self._context.store.write(write)
        return self._see(SESSIONS)

    async def _end_all(self, request: web.Request) -> web.Response:
        """End every session of everybody."""
        identity = request[IDENTITY]

        def write(connection: Connection) -> None:
            ended = sessions.end_all(connection)
            audit.record(connection, self._entry(request, "sessions.end_all", identity.name, detail={"ended": ended}))

        await self._context.store.write(write)
        return self._see(SESSIONS)

    async def _proof(self, name: str, password: str, token: str, remote: str) -> Proof | None:
        if token:
            return self._access.prove_token(token, remote)
        return await self._access.prove_password(name, password, remote)

    async def _note_refusal(self, request: web.Request, claimed: str) -> None:
        left_out = self._refusals.next(self._context.clock())
        if left_out is None:
            return
        who = line(claimed, _NAME_LIMIT) or "nobody"
        detail = {"not_written_before": left_out} if left_out else None
        entry = self._entry(request, "sessions.refuse", who, verified=False, detail=detail)
        await self._context.store.write(lambda connection: audit.record(connection, entry))

    def _entry(
        self,
        request: web.Request,
        what: str,
        who: str,
        *,
        verified: bool = True,
        detail: Mapping[str, Any] | None = None,
    ) -> Entry:
        now, remote = self._context.clock(), request.remote or ""
        known = verified and bool(who)
        return Entry(now, who or "somebody", known, what, request.path, detail=detail, remote=remote)

    async def _sessions_page(self, request: web.Request) -> web.Response:
        identity, now = request[IDENTITY], self._context.clock()

        def read(connection: Connection) -> list[sessions.Session]:
            return sessions.listed(connection, now, identity.name) if identity.verified else []

        own = await self._context.store.read(read)
        administers = Scope.ADMIN in identity.scopes
        return self._page("sessions.html", identity=identity, own=own, administers=administers)

    def _sign_in_page(
        self, wanted: str, *, error: str = "", name: str = "", status: int = 200, again: bool = False
    ) -> web.Response:
        return self._page(
            "sign_in.html",
            status=status,
            next=wanted,
            error=error,
            name=name,
            again=again,
            needed=self._access.required,
            has_passwords=bool(self._access.loaded.settings.basic_auth_users),
        )

    def _page(self, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
        prefix, now = self._context.settings.path_prefix, self._context.clock()
        return answer.page(_TEMPLATES, template, status=status, prefix=prefix, now=now, **values)

    def _see(self, path: str) -> web.Response:
        location = f"{self._context.settings.path_prefix}{path}"
        return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})


def _text(form: Mapping[str, Any], name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _origin(request: web.Request) -> Origin:
    return Origin(request.headers.get("Host", "").lower(), request.remote or "", request.headers.get("User-Agent", ""))
