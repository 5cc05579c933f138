"""What is written as YAML is read back the same, comments or not."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from deploywatch.rules.outputs.emit import Remarked, yaml

_LINE = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85"), max_size=20
).filter(lambda text: text.isprintable())
_SCALAR = st.one_of(_LINE, st.booleans(), st.integers())
_KEY = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_DATA = st.recursive(
    _SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEY, inner, max_size=3)),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(_KEY, _DATA.filter(lambda value: not _has_nested_lists(value)), min_size=1, max_size=3))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    assert YAML(typ="safe").load(yaml(data, header=["a comment"])) == data


def _has_nested_lists(value: Any) -> bool:
    if isinstance(value, list):
        return any((isinstance(one, list) and one) or _has_nested_lists(one) for one in value)
    return isinstance(value, dict) and any(_has_nested_lists(one) for one in value.values())


def test_a_text_of_several_lines_is_a_block() -> None:
    text = yaml({"expr": "a\n/\nb", "for": "1m"})
    assert text == "expr: |\n  a\n  /\n  b\nfor: 1m\n"


def test_remarks_stand_above_their_value() -> None:
    rules = [Remarked(("1% comes from the runbook",), {"alert": "A", "labels": {"severity": "high"}})]
    assert yaml({"rules": rules}) == (
        "rules:\n  # 1% comes from the runbook\n  - alert: A\n    labels:\n      severity: high\n"
    )
