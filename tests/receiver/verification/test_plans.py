"""Plans are read at the start: what is wrong with one is said with its place, and not when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.receiver.settings.config import load
from tests.receiver.verification.conftest import Past


def config(folder: Path, pattern: str) -> Path:
    """A receiver's configuration that names plans."""
    file = folder / "receiver.yml"
    file.write_text(f"verification: {{plans: ['{pattern}']}}\n")
    return file


def test_plans_are_found_from_the_files_folder_and_by_pattern(tmp_path: Path, past: Past) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "shop.json").write_text(past.file.read_text())
    for pattern in ("plans/*.json", str(folder / "shop.json"), f"{tmp_path}/*/*.json"):
        settings = load(config(tmp_path, pattern)).verification
        assert [plan.policy for plan in settings.loaded] == ["shop"]
        assert settings.plans_of("anything", "production") == [past.plan]
        assert settings.plans_of("anything", "staging") == []


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no plan is there; build one from a policy with a verdict"):
        load(config(tmp_path, "plans/*.json"))


def test_all_faults_of_all_plans_come_at_once_with_their_places(tmp_path: Path, past: Past) -> None:
    text = past.file.read_text()
    (tmp_path / "a.json").write_text(text.replace('"look": 30.0', '"look": 0'))
    (tmp_path / "b.json").write_text(text.replace('"policy": "shop"', '"polcy": "shop"'))
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, "*.json"))
    said = str(caught.value)
    assert "a.json:" in said
    assert "look" in said
    assert "b.json:" in said
    assert "policy" in said


def test_two_plans_of_one_policy_are_refused(tmp_path: Path, past: Past) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(past.file.read_text())
    with pytest.raises(ConfigError, match="shop: two plans are of this policy; keep one"):
        load(config(tmp_path, "*.json"))
