"""Where rollbacks are tried: an exporter that answers, a command that notes what it is told, a deployment to undo."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from deploywatch.receiver.alert import Alert
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, settings

DEPLOY = "import pathlib, sys; f = pathlib.Path(sys.argv[1]).open('a'); f.write(' '.join(sys.argv[2:]) + '\\n')"


@dataclass(slots=True)
class Exporter:
    """Answers as the exporter's health page does; `answers` are given one after another, the last one for ever."""

    answers: list[Any] = field(default_factory=lambda: [{"status": "healthy", "version": "1.2.2"}])
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Give the next answer."""
        self.asked.append(str(request.rel_url))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, dict):
            return web.json_response(answer, status=200 if answer.get("status") == "healthy" else 503)
        return web.Response(text=answer)


@dataclass(slots=True)
class Ground:
    """Where rollbacks are tried: version 1.2.2 was good, 1.2.3 was deployed a minute ago and fires."""

    make_scene: MakeScene
    exporter: Exporter
    runs: Path

    async def scene(self, *command: str, **more: Any) -> Scene:
        """A scene whose rollback runs `command`, or notes its arguments in a file; `more` as in `rollback:`.

        `target` and `verify` change the target, `beside` is set beside `rollback:`.
        """
        target: dict[str, Any] = {
            "service": "shop",
            "command": list(command) or [sys.executable, "-c", DEPLOY, str(self.runs), "{to_version}", "{service}"],
            "timeout": more.pop("timeout", "30s"),
            "verify": {"url": self.exporter.url, "healthy_for": "10s", "within": "1m", "interval": "5s"},
        }
        target.update(more.pop("target", {}))
        target["verify"] |= more.pop("verify", {})
        beside = more.pop("beside", {})
        scene = self.make_scene(settings(rollback={"mode": "auto", "targets": [target], **more}, **beside))
        await scene.deployed("1.2.2", ago=HOUR)
        await scene.deployed("1.2.3", ago=MINUTE)
        return scene

    @property
    def ran(self) -> list[str]:
        """The arguments of every run."""
        return self.runs.read_text().splitlines() if self.runs.exists() else []


def critical(name: str = "HighErrorRate") -> Alert:
    return alert(name, severity="critical")
