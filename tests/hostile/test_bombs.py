"""Each command that reads YAML refuses aliases that stand for billions of values, with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.cli import main
from tests.deploywatch.test_document import _bomb

COMMANDS = {
    "exporter": ("exporter", "--config.check", "--config.file", "BOMB"),
    "exporter's web config": ("exporter", "--config.check", "--config.file", "GOOD", "--web.config.file", "BOMB"),
    "check": ("check", "--config.file", "BOMB"),
    "receiver": ("receiver", "--config.check", "--config.file", "BOMB"),
    "policy": ("rules", "check", "BOMB"),
    "migration": ("migrate", "BOMB", "--dry-run"),
    "ports of a compose file": ("ports", "check", "--registry", "REGISTRY", "BOMB"),
    "port registry": ("ports", "check", "--registry", "BOMB"),
}


@pytest.mark.parametrize(("name", "merges"), [*((name, False) for name in COMMANDS), ("exporter", True)])
def test_a_bomb_is_refused_with_its_place(
    name: str, merges: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = tmp_path / "compose.yml"
    bomb.write_text(_bomb(7, merges=merges))
    (tmp_path / "exporter.yml").write_text("modules: {web: {kind: http}}\n")
    (tmp_path / "registry.json").write_text('{"test": {"shop": 8080}}')
    files = {"BOMB": str(bomb), "GOOD": "exporter.yml", "REGISTRY": "registry.json"}
    with pytest.raises(SystemExit) as ended:
        main([files.get(word, word) for word in COMMANDS[name]])
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed
    assert "compose.yml" in printed.err
    assert "Traceback" not in printed.out + printed.err
