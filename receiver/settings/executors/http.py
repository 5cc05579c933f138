"""CI over HTTP as an executor: one request that starts a run, and how the run is followed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.executors.plan import Call, Values
from deploywatch.receiver.settings.fields import Token
from deploywatch.receiver.settings.placeholders import (
    PLACEHOLDERS,
    check_host,
    check_template,
    check_values,
    filled,
    texts,
)

# Of every action; which of them its own action fills in is checked with that.
_KNOWN = PLACEHOLDERS | {"id", "replicas", "severity", "incident"}


_BAD = ("failure", "failed", "error", "cancelled", "canceled", "timed_out", "startup_failure", "action_required")


def _url(url: str) -> str:
    check_template([url], _KNOWN | {"run"})
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("write a URL that begins with http:// or https://")
    if parts.username or parts.password:
        raise ValueError("must not carry credentials; use token or token_file")
    check_host(url)
    return url


def _template(value: Any) -> Any:
    check_template(list(texts(value)), _KNOWN)
    return value


Url = Annotated[str, AfterValidator(_url)]


Body = Annotated[dict[str, Any], AfterValidator(_template)]


class Find(Settings):
    """Which item of a list is our run: the first whose `field` contains `{id}`."""

    list: str
    field: str


class Follow(Settings):
    """How the run is followed; `run`, `state` and `link` are dotted paths into JSON answers, such as `data.status`.

    `run` names it in the answer to the first request, and is `{run}` in `url`. A state that is neither good nor bad
    is one of a run that goes on.
    """

    url: Url
    run: str = ""
    find: Find | None = None
    state: str
    link: str = ""
    good: tuple[str, ...] = ("success", "succeeded")
    bad: tuple[str, ...] = _BAD
    interval: Annotated[Duration, Field(ge=parse_duration("1s"))] = parse_duration("5s")


class Http(Settings):
    """One POST with a JSON body; without `follow`, an answer of 2xx is success."""

    url: Url
    token: Token | None = None
    headers: dict[Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")], Annotated[str, Field(pattern=r"^[ -~]*$")]] = Field(
        default_factory=dict
    )
    body: Body = Field(default_factory=dict)
    follow: Follow | None = None

    def plan(self, values: Values, limit: timedelta) -> Call:
        """The request with the values filled in; ValueError for a value that could mean more than itself."""
        check_values(values)
        follow = self.follow.url if self.follow else ""
        filled([self.url, follow, self.body], {**values, "run": ""})  # a placeholder of another action is a KeyError
        return Call(self, dict(values))


class GitHub(Settings):
    """Dispatch a workflow of GitHub Actions and follow its run.

    The workflow takes the input `id_input` and bears it in its `run-name`, which is how its run is found.
    """

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    workflow: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    ref: Annotated[str, Field(min_length=1)] = "main"
    token: Token
    inputs: Body = Field(default_factory=lambda: {"environment": "{environment}", "version": "{to_version}"})
    id_input: str = "deploywatch_id"
    api: Url = "https://api.github.com"
    interval: Annotated[Duration, Field(ge=parse_duration("1s"))] = parse_duration("5s")

    def plan(self, values: Values, limit: timedelta) -> Call:
        """As `http` would be written for it."""
        workflow = f"{self.api.rstrip('/')}/repos/{self.repository}/actions/workflows/{self.workflow}"
        return Http(
            url=f"{workflow}/dispatches",
            token=self.token,
            headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
            body={"ref": self.ref, "inputs": {**self.inputs, self.id_input: "{id}"}},
            follow=Follow(
                url=f"{workflow}/runs?event=workflow_dispatch&per_page=100",
                find=Find(list="workflow_runs", field="display_title"),
                state="conclusion",
                link="html_url",
                bad=(*_BAD, "neutral", "skipped", "stale"),
                interval=self.interval,
            ),
        ).plan(values, limit)
