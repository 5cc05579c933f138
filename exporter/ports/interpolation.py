"""Variables in compose files, filled as compose does: `$VAR`, `${VAR:-default}`, `${VAR:?error}`, `${VAR:+x}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The longer first: `:-` and `-` differ in whether an empty value counts as one.
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*[=:]\s*(?P<value>.*)")


def fill(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables filled in; ValueError names the variable that has no value, and what to do.

    Docker compose takes an unset variable as empty, with a warning; for a port that would mean another one than was
    meant, so that here it is an error.
    """
    filled, position = "", 0
    while position < len(text):
        if text[position] != "$":
            filled += text[position]
            position += 1
        elif text.startswith("$$", position):
            filled += "$"
            position += 2
        elif text.startswith("${", position):
            end = _closing(text, position + 2)
            filled += _braced(text[position + 2 : end], variables)
            position = end + 1
        elif match := _NAME.match(text, position + 1):
            filled += _value(match[0], variables)
            position = match.end()
        else:
            raise ValueError(f"a $ in {text!r} begins no variable; write $$ for a plain $")
    return filled


def _closing(text: str, position: int) -> int:
    depth = 1
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise ValueError(f"a ${{ in {text!r} is not closed; write }}")


def _braced(inner: str, variables: Mapping[str, str]) -> str:
    match = _NAME.match(inner)
    rest = inner[match.end() :] if match else ""
    if match is None or (rest and not rest.startswith(_OPERATORS)):
        raise ValueError(f"${{{inner}}} is not a variable; write ${{NAME}} or ${{NAME:-8080}}")
    name = match[0]
    if not rest:
        return _value(name, variables)
    operator = next(sign for sign in _OPERATORS if rest.startswith(sign))
    other, value = rest[len(operator) :], variables.get(name)
    given = value is not None and (value != "" or not operator.startswith(":"))
    match operator[-1]:
        case "-":
            return value or "" if given else fill(other, variables)
        case "+":
            return fill(other, variables) if given else ""
    if not given:
        raise ValueError(f"the variable {name} is required: {fill(other, variables) or 'it is not set'}")
    return value or ""


def _value(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise ValueError(f"the variable {name} is not set; set it, give --env-file, or write ${{{name}:-8080}}")
    return variables[name]


def read_env_file(text: str) -> dict[str, str]:
    """The variables of an env file, such as compose's `.env`; ValueError names the line that is none."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not NAME=value")
        variables[match["name"]] = _unquoted(match["value"].strip())
    return variables


def _unquoted(value: str) -> str:
    for quote in ("'", '"'):
        end = value.find(quote, 1)
        if value.startswith(quote) and end > 0:
            return value[1:end]
    return value.split(" #", 1)[0].strip()
