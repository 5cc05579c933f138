"""Commands to a Redis server and their answers; in a cluster, each to the node that has the key."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis import exceptions

from deploywatch.exporter.net.circles import release
from deploywatch.exporter.results import Failed, Reason

Word = str | bytes | int
Open = Callable[[str, int], Awaitable[Any]]
"""Connects to another node of a cluster, as the same user and over the same route."""

# Each is a connection of its own within one run.
_MOST_NODES = 100
# Keys are tried until one falls to this node; a cluster of 100 nodes needs some hundreds.
# In one round trip: a key falls to a node by chance, one in as many as there are nodes.
_TRIED_AT_ONCE = 64
_TRIED = 1024


class Conversation:
    """Commands over one connection of the redis library, and over those to which a cluster sends us on."""

    def __init__(self, connection: Any, open_: Open | None = None) -> None:
        self.connection = connection
        self._open = open_
        self._others: dict[tuple[str, int], Conversation] = {}

    async def ask(self, *words: Word) -> Any:
        """One command, and its answer; of another node where the cluster says that this has the key."""
        await self.connection.send_command(*words)
        try:
            return await self.connection.read_response()
        except exceptions.AskError as error:
            # Answered outside the `except`: an error in there would drag this one along as its context, with all that
            # it holds.
            sent_on = error
        return await self._elsewhere(sent_on, words)

    async def ask_here(self, *words: Word) -> Any:
        """One command, and the answer of this server itself."""
        await self.connection.send_command(*words)
        return await self.connection.read_response()

    async def ask_all(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Several commands at once, and their answers in order; the first error of them after all were read."""
        answers = await self.answers(commands)
        for number, answer in enumerate(answers):
            if isinstance(answer, exceptions.AskError):
                answers[number] = await self._elsewhere(answer, commands[number])
            elif isinstance(answer, Exception):
                raise answer
        return answers

    async def answers(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Several commands at once, and for each its answer or the error that the server answers with."""
        if not commands:
            return []
        await self.connection.send_packed_command(self.connection.pack_commands(commands))
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await self.connection.read_response())
            except exceptions.ResponseError as error:
                answers.append(error)
        return answers

    async def own_key(self, make: Callable[[], str]) -> str:
        """A key of those that `make` gives which this node of a cluster itself has; Failed when it has none."""
        tried = 0
        while tried < _TRIED:
            keys = [make() for _ in range(_TRIED_AT_ONCE)]
            tried += len(keys)
            for key, answer in zip(keys, await self.answers([("GET", key) for key in keys]), strict=True):
                if not isinstance(answer, Exception):
                    return key
                if not isinstance(answer, (exceptions.MovedError, exceptions.AskError)):
                    raise answer
        raise Failed(
            Reason.UNAVAILABLE,
            "this node of the cluster has no slots of its own, as a replica; write round_trip: false",
        )

    async def _refuse_a_cluster(self) -> None:
        """Failed where this server moves keys elsewhere and its user may not ask where to.

        On a server of its own nobody needs the right to ask; in a cluster keys would be missing without a word.
        """
        random = ((b"GET", f"deploywatch:probe:{number}") for number in itertools.count())
        answers = await self.answers(list(itertools.islice(random, _TRIED_AT_ONCE)))
        if any(isinstance(answer, exceptions.MovedError) for answer in answers):
            raise Failed(
                Reason.AUTH, "the keys of a pattern are on every node of the cluster; allow the user +cluster|slots"
            ) from None

    async def nodes(self) -> list[Conversation]:
        """This server, or each node of the cluster that it is in which has keys of its own."""
        try:
            slots = await self.ask_here("CLUSTER", "SLOTS")
        except exceptions.NoPermissionError:
            await self._refuse_a_cluster()
            return [self]
        except exceptions.ResponseError:
            # Cluster support is disabled, or the command is not known.
            return [self]
        # CLUSTER SLOTS names each range's primary third; replicas follow it, and have the same keys.
        places = {(self._host((entry[2][0] or b"").decode()), int(entry[2][1])) for entry in slots}
        if not places:
            return [self]
        if len(places) > _MOST_NODES:
            raise Failed(Reason.TOO_LARGE, f"the cluster has {len(places)} nodes with keys, more than {_MOST_NODES}")
        return [await self._to(*place) for place in sorted(places)]

    async def close(self) -> None:
        """Leave every server."""
        for other in self._others.values():
            await other.close()
        # The goodbye of TLS would wait for a server that may never answer it.
        transport = self.connection._writer.transport if self.connection._writer else None
        if transport:
            transport.abort()
        await self.connection.disconnect(nowait=True)
        release(transport)

    async def _elsewhere(self, error: exceptions.AskError, words: tuple[Word, ...]) -> Any:
        """The answer of the node that has the key, also where that is giving the key's slot away."""
        if not isinstance(error, exceptions.MovedError):
            return await self._asking(error, words)
        node = await self._at(error)
        try:
            return await node.ask_here(*words)
        except exceptions.AskError as again:
            if isinstance(again, exceptions.MovedError):
                return await node.ask(*words)
            sent_on = again
        return await self._asking(sent_on, words)

    async def _asking(self, error: exceptions.AskError, words: tuple[Word, ...]) -> Any:
        """The answer of the node to which a slot is on its way, which has the key already."""
        _, answer = await (await self._at(error)).answers([("ASKING",), words])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _at(self, moved: exceptions.AskError) -> Conversation:
        return await self._to(self._host(moved.host), int(moved.port))

    def _host(self, named: str) -> str:
        """The host of a node; the one that was asked, where a cluster does not know how its nodes are reached."""
        # `cluster-preferred-endpoint-type`: an unknown endpoint is empty or NULL, a hostname that is not set is `?`.
        return str(self.connection.host) if named in {"", "?"} else named

    async def _to(self, host: str, port: int) -> Conversation:
        if self._open is None:
            raise Failed(Reason.QUERY, f"the cluster sends us on from {host}:{port} again; its nodes do not agree")
        known = self._others.get((host, port))
        if known is None:
            known = self._others[host, port] = Conversation(await self._open(host, port))
        return known
