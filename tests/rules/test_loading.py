"""A bad policy is refused with every fault at its place; one fixture a rule, in tests/rules/bad."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploywatch.errors import ConfigError
from deploywatch.rules.loading import load, load_all
from tests.rules.tools import GOOD, SHIPPED

BAD = sorted((Path(__file__).parent / "bad").glob("*.yml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_policy_is_refused_with_all_its_faults_at_their_places(path: Path) -> None:
    expected = [
        line.removeprefix("# expect ") for line in path.read_text().splitlines() if line.startswith("# expect ")
    ]
    with pytest.raises(ConfigError) as caught:
        load(path, variables={})
    found = [f"{fault.line}:{fault.column} {fault.path}: {fault.message}" for fault in caught.value.problems]
    assert len(found) == len(expected), found
    for fault, text in zip(found, expected, strict=True):
        assert fault.startswith(text)


def test_five_faults_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Path(__file__).parent / "bad" / "five_faults.yml", variables={})
    assert len({(fault.line, fault.column) for fault in caught.value.problems}) == 5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_policy_loads(path: Path) -> None:
    assert load(path, variables={}).policy == path.stem


def test_faults_of_several_files_come_together(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yml", tmp_path / "two.yml"
    one.write_text(GOOD.replace("error_ratio", "eror_ratio"))
    two.write_text(GOOD.replace("rollback", "rolback"))
    with pytest.raises(ConfigError) as caught:
        load_all([one, two], variables={})
    assert {fault.file for fault in caught.value.problems} == {str(one), str(two)}


def test_two_policies_of_one_name_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yml", tmp_path / "two.yml"
    for path in (one, two):
        path.write_text(GOOD)
    with pytest.raises(ConfigError, match=r"two\.yml: policy: .*one\.yml has a policy of this name too"):
        load_all([one, two], variables={})


def test_a_missing_file_is_a_fault_among_others(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(GOOD.replace("rollback", "rolback"))
    with pytest.raises(ConfigError) as caught:
        load_all([tmp_path / "none.yml", bad], variables={})
    assert len(caught.value.problems) == 2


def test_a_variable_that_is_not_set_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(GOOD.replace('"http://127.0.0.1:9872/webhook/alertmanager"', '"${WEBHOOK_URL}"'))
    with pytest.raises(ConfigError, match="WEBHOOK_URL is not set"):
        load(path, variables={})
    receiver = load(path, variables={"WEBHOOK_URL": "http://here/"}).receiver
    assert receiver is not None
    assert receiver.url == "http://here"


_YAML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@settings(deadline=None)
@given(key=st.sampled_from(["sources", "series", "selectors", "interval", "alerts", "receiver"]), value=_YAML)
def test_nonsense_in_a_section_is_a_fault_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    path = tmp_path_factory.mktemp("nonsense") / "policy.yml"
    start = GOOD.index(f"\n{key}:") if f"\n{key}:" in GOOD else len(GOOD)
    following = [GOOD.index(line, start + 1) for line in GOOD[start + 1 :].splitlines()[1:] if line[:1].isalpha()]
    rest = GOOD[following[0] :] if following else ""
    path.write_text(f"{GOOD[:start]}\n{key}: {json.dumps(value)}\n{rest}")
    with contextlib.suppress(ConfigError):
        load(path, variables={})
