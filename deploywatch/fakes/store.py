"""What the inbox received, and what it shall answer next."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

ChannelName = str
"""The kind of channel, such as `slack`; `change` is PagerDuty's too: what was deployed, which pages nobody."""
Scripted = str
"""The kind of channel that answers over HTTP."""

FILE = "inbox.jsonl"
KEPT = 10_000
"""Messages kept in memory; the file has all."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message: `at` in ISO 8601 and UTC, `thread` what it belongs to, `raw` as it came without its secrets.

    `id` is its own name where it can be changed, `updated_at` when it was, or an empty text.
    """

    at: str
    channel: ChannelName
    thread: str
    title: str
    text: str
    raw: Mapping[str, Any]
    id: str = ""
    updated_at: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The next answer over HTTP in place of the usual one; nothing is received then.

    `wait` keeps the client waiting until the inbox closes; `reset` breaks the connection.
    """

    status: int = 200
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The next reply to an SMTP command in place of the usual one, such as `451 4.3.0 later`."""

    command: Literal["MAIL", "RCPT", "DATA"]
    text: str = ""
    wait: bool = False
    reset: bool = False


class Inbox:
    """Keeps messages in memory and, with a folder, as JSON lines in its `inbox.jsonl`."""

    def __init__(
        self, folder: Path | None = None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        # Bounded: the demo's inbox may run for days beside a test of load.
        self.received: deque[Received] = deque(maxlen=KEPT)
        self.calls: list[str] = []
        self._clock = clock
        self._file = folder / FILE if folder else None
        self._answers: defaultdict[Scripted, deque[Answer]] = defaultdict(deque)
        self._replies: deque[Reply] = deque()
        self._count = 0
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def script(self, channel: Scripted, *answers: Answer) -> None:
        """Answer so the next times that this channel is used, then as usual."""
        self._answers[channel].extend(answers)

    def script_mail(self, *replies: Reply) -> None:
        """Reply so when these commands come next, in this order, then as usual."""
        self._replies.extend(replies)

    def next_answer(self, channel: Scripted) -> Answer | None:
        """The scripted answer to the request that has just come, if there is one."""
        self.calls.append(channel)
        waiting = self._answers[channel]
        return waiting.popleft() if waiting else None

    def next_reply(self, command: str) -> Reply | None:
        """The scripted reply to the SMTP command that has just come, if there is one."""
        self.calls.append(command)
        return self._replies.popleft() if self._replies and self._replies[0].command == command else None

    def next_ts(self) -> str:
        """A name for a Slack message, as Slack makes them: seconds since 1970 and a part that makes it unique."""
        self._count += 1
        # Like Slack's: seconds, and a number that makes it single within them.
        return f"{int(self._clock().timestamp())}.{self._count:06d}"

    def keep(
        self, channel: ChannelName, *, thread: str, title: str, text: str, raw: Mapping[str, Any], id_: str = ""
    ) -> Received:
        """Remember one message; `raw` must bear no secret."""
        received = Received(self._now(), channel, thread, title, text, raw, id_)
        self.received.append(received)
        self._write(received)
        return received

    def change(self, old: Received, *, title: str, text: str, raw: Mapping[str, Any]) -> Received:
        """Put a changed message in the place of the old one; the file has both, one after the other."""
        changed = replace(old, title=title, text=text, raw=raw, updated_at=self._now())
        self.received[self.received.index(old)] = changed
        self._write(changed)
        return changed

    def find(self, channel: ChannelName, id_: str) -> Received | None:
        """The message of that name, as it is now."""
        return next((received for received in self.of(channel) if received.id == id_ and id_), None)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds")

    def _write(self, received: Received) -> None:
        if self._file:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(received)) + "\n")

    def of(self, channel: ChannelName) -> list[Received]:
        """What this channel received, the oldest first."""
        return [received for received in self.received if received.channel == channel]
