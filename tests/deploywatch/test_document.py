"""A YAML text becomes plain data, with the place of every value and all faults collected."""

from __future__ import annotations

import tracemalloc

import pytest

from deploywatch.files import yaml_reader


def data(text: str, **variables: str) -> object:
    answer = yaml_reader.read(text, "f.yml", variables)
    assert not answer.problems
    return answer.data


def problems(text: str, **variables: str) -> list[str]:
    return [str(problem) for problem in yaml_reader.read(text, "f.yml", variables).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("5", 5),
        ("-5", -5),
        ("0x1F", 31),
        ("0o17", 15),
        ("007", "007"),
        ("1.10", "1.10"),
        ("0.1", "0.1"),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("1.2.3", "1.2.3"),
        ("2024-01-15", "2024-01-15"),
        ("12:30", "12:30"),
        ("'5'", "5"),
        ('"a\\nb"', "a\nb"),
        ("[1, a]", [1, "a"]),
        ("{1: a}", {"1": "a"}),
        ("", None),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ],
)
def test_scalars_are_read_as_people_mean_them(text: str, value: object) -> None:
    assert data(text) == value


def test_the_booleans_of_yaml_1_1_are_read_where_the_file_says_so() -> None:
    assert data("%YAML 1.1\n---\n[yes, no, on, off]\n") == [True, False, True, False]


def test_every_key_and_item_has_its_place() -> None:
    answer = yaml_reader.read("# first\na:\n  - b\n  - c: 1\n    d: {e: f}\n", "f.yml")
    assert answer.places == {
        (): (2, 1),
        ("a",): (2, 1),
        ("a", 0): (3, 5),
        ("a", 1): (4, 5),
        ("a", 1, "c"): (4, 5),
        ("a", 1, "d"): (5, 5),
        ("a", 1, "d", "e"): (5, 9),
    }


def test_a_fault_can_point_into_a_text() -> None:
    answer = yaml_reader.read("a: 'x > y'\nb: x > y\nc: |\n  x\n", "f.yml")
    for key in "abc":
        answer.report((key,), "bad", offset=4)
    assert [(p.line, p.column) for p in answer.problems] == [(1, 9), (2, 8), (3, 1)]


def test_a_fault_at_what_is_not_there_points_to_its_parent() -> None:
    answer = yaml_reader.read("a:\n  b: 1\n", "f.yml")
    answer.report(("a", "c", 3), "bad")
    assert [str(problem) for problem in answer.problems] == ["f.yml:1:1: a.c[3]: bad"]


def test_aliases_and_merged_keys_are_filled_in() -> None:
    text = "base: &base {x: 1, y: 2}\none: {<<: *base, y: 3}\ntwo: {y: 4, <<: [*base, {z: 5}]}\nthree: *base\n"
    assert data(text) == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"x": 1, "y": 4, "z": 5},
        "three": {"x": 1, "y": 2},
    }


def test_a_key_that_overrides_a_merged_one_keeps_its_own_place() -> None:
    answer = yaml_reader.read("base: &base {y: 2}\ntwo:\n  y: 4\n  <<: *base\n", "f.yml")
    assert answer.places["two", "y"] == (3, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "f.yml:2:1: a: the key is there twice; keep one"),
        ("a: &x [*x]\n", "f.yml:1:4: a[0]: an alias that contains itself; write the value out"),
        ("a: 1\nb: *x\n", "f.yml:2:4: not valid YAML: found undefined alias 'x'"),
        ("a: [1\nb: 2\n", "f.yml:2:2: not valid YAML: expected ',' or ']', but got ':'"),
        ("a: 1\n\tb: 2\n", "f.yml:2:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "f.yml:2:1: not valid YAML: but found another document"),
        (
            "a: 1\nb: x\0y\n",
            "f.yml:2:5: not valid YAML: unacceptable character #x0000: special characters are not allowed",
        ),
        ("[" * 3000, "f.yml:1:1: is nested too deeply to be read"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(text: str, said: str) -> None:
    assert problems(text) == [said]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("x${A}y${B}", "xoney"),
        ("${C:-two}", "two"),
        ("${B:-two}", "two"),
        ("${A:-two}", "one"),
        ("${C:-}", ""),
        ("$${A}", "${A}"),
        ("$$ $A $", "$$ $A $"),
        ("$2b$10$abc", "$2b$10$abc"),
    ],
)
def test_variables(text: str, value: object) -> None:
    assert data(f"'{text}'", A="one", B="") == value


def test_variables_are_filled_in_in_lists_and_values_but_not_in_keys() -> None:
    assert data("{'${A}': ['${A}']}", A="one") == {"${A}": ["one"]}


def test_a_variable_is_data_and_never_yaml() -> None:
    assert data("a: ${X}", X="[1, 2]\nb: 3 ${X}") == {"a": "[1, 2]\nb: 3 ${X}"}


def test_without_variables_nothing_is_filled_in() -> None:
    assert yaml_reader.read("a: ${X}", "f.yml").data == {"a": "${X}"}


@pytest.mark.parametrize("text", ["${A-two}", "${1}", "${}", "${A", "${A.b}"])
def test_what_looks_like_a_variable_and_is_none_is_a_fault(text: str) -> None:
    (said,) = problems(f"a: '{text}'")
    assert said == f"f.yml:1:1: a: {text!r} is not a variable; write ${{NAME}}, or $${{ for a plain ${{"


def _bomb(levels: int, *, merges: bool = False) -> str:
    """Each list is the one before it nine times: 9 to the power of `levels` values in a few hundred bytes."""
    lines = ["a0: &a0 {k: v}" if merges else "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels + 1):
        before = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{before}]}}" if merges else f"[{before}]"))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("merges", [False, True])
def test_aliases_that_stand_for_billions_of_values_are_refused(merges: bool) -> None:
    tracemalloc.start()
    try:
        read = yaml_reader.read(_bomb(12, merges=merges), "f.yml", {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read.data is None
    assert [str(problem).partition(": ")[2] for problem in read.problems] == [
        "aliases repeat more than 50000 values here; write them out"
    ]
    assert peak < 100 * 1024**2


def test_aliases_as_people_write_them_are_read() -> None:
    text = "base: &base {timeout: 5s, interval: 1m}\nprobes:\n" + "- <<: *base\n  name: a\n" * 5000
    assert data(text)["probes"][-1] == {"timeout": "5s", "interval": "1m", "name": "a"}  # type: ignore[index]


def test_aliases_nested_in_aliases_too_deeply_are_refused() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 1000))
    assert "too deeply" in problems(text)[0] or "aliases repeat" in problems(text)[0]
