"""Conditions are read exactly, and what cannot be read is pointed at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploywatch.quantity import parse_quantity
from deploywatch.rules.language.expression import (
    OPERATORS,
    Comparison,
    Condition,
    Either,
    Every,
    ExpressionError,
    alternatives,
    comparisons,
    parse,
)

QUANTITIES = st.one_of(
    st.decimals(0, 100, places=3).map(lambda n: f"{n}%"),
    st.integers(1, 10_000).map(lambda n: f"{n}ms"),
    st.integers(0, 10_000).map(str),
    st.sampled_from(["1h30m", "512MiB", "$1000", "100/s", "60/min", "1.5s"]),
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(lambda name: name not in {"and", "or"})


@st.composite
def _comparisons(draw: st.DrawFn) -> Comparison:
    written = draw(QUANTITIES)
    return Comparison(draw(NAMES), draw(st.sampled_from(OPERATORS)), parse_quantity(written), written)


def _conditions() -> st.SearchStrategy[Condition]:
    return st.recursive(
        _comparisons(),
        lambda inner: st.lists(inner, min_size=2, max_size=3).flatmap(
            lambda parts: st.sampled_from([Every(tuple(parts)), Either(tuple(parts))])
        ),
        max_leaves=6,
    )


def _flat(condition: Condition) -> object:
    """The condition without offsets, and with `a and (b and c)` as `a and b and c`, which is how it is written."""
    if isinstance(condition, Comparison):
        return (condition.signal, condition.operator, condition.quantity)
    parts: list[object] = []
    for part in condition.parts:
        same = isinstance(part, type(condition)) and not isinstance(part, Comparison)
        flat = _flat(part)
        assert isinstance(flat, tuple)
        parts += flat[1] if same else [flat]
    return (type(condition).__name__, parts)


@settings(deadline=None)
@given(_conditions())
def test_what_is_written_is_read_back(condition: Condition) -> None:
    assert _flat(parse(str(condition))) == _flat(condition)


@settings(deadline=None)
@given(_conditions())
def test_each_offset_points_at_its_word(condition: Condition) -> None:
    text = str(condition)
    for one in comparisons(parse(text)):
        assert text[one.signal_offset :].startswith(one.signal)
        assert text[one.quantity_offset :].startswith(one.written)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_at_a_place_inside_it(text: str) -> None:
    faults = []
    try:
        parse(text)
    except ExpressionError as error:
        faults.append(error.offset)
    assert all(0 <= offset <= len(text) for offset in faults)


def test_and_binds_tighter_than_or() -> None:
    assert str(parse("a > 1 or (b > 2 and c > 3)")) == "a > 1 or b > 2 and c > 3"
    assert isinstance(parse("a > 1 or b > 2 and c > 3"), Either)
    assert isinstance(parse("(a > 1 or b > 2) and c > 3"), Every)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "the condition ends where the name of a signal should be"),
        ("error_ratio", 11, "the condition ends where one of >= <= == != > < should be"),
        ("error_ratio 1%", 12, "'1%' stands where one of >= <= == != > < should be"),
        ("error_ratio > 1% or", 19, "the condition ends where the name of a signal should be"),
        ("error_ratio > 1% up == 0", 17, "'up' stands where `and`, `or` or the end should be"),
        ("(error_ratio > 1%", 17, "the condition ends where `)` should be"),
        ("error_ratio > 1 parsec", 16, "'parsec' stands where `and`, `or` or the end should be"),
        ("error_ratio > 1parsec", 14, "'1parsec' is not a quantity"),
        ("error_ratio => 1%", 12, "'=>' stands where one of >= <= == != > < should be"),
        ("error_ratio > error_ratio", 14, "'error_ratio' stands where a quantity"),
    ],
)
def test_a_fault_is_named_where_it_stands(text: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)
    assert caught.value.offset == offset


def test_alternatives_are_the_ways_to_come_true() -> None:
    ways = alternatives(parse("(a > 1 or b > 2) and c > 3"))
    assert [" and ".join(map(str, way)) for way in ways] == ["a > 1 and c > 3", "b > 2 and c > 3"]
