"""Values that must not be shown: passwords, tokens and the credentials inside URLs; all print as `***`."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from pydantic import BaseModel, BeforeValidator, PlainSerializer, SecretStr

MASK = "***"
# A shorter secret would mask half of an ordinary sentence.
_SHORTEST = 6
# As a header bears them, whoever repeats it: a name and password in base64, or a token that was fetched somewhere.
_SHOWN = re.compile(r"\b(Basic|Bearer)( +|%20|\+)([A-Za-z0-9+/._~=-]{8,})", re.IGNORECASE)
# "Bearer authentication is off" is a sentence; a token has digits and this length.
_SHORTEST_TOKEN = 16
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET_NAME = re.compile("passw|secret|token|key|sig|credential", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"((?:^|(?<=[&;]))[^=&;]*(?:passw|secret|token|key|sig)[^=&;]*=)[^&;]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in for a secret whose `*_file` could not be read, until validation reports it."""

    message: str


class Filled(frozenset[str]):
    """What came from variables into a config. Any two are equal: settings are, that say the same."""

    # Whether a config has changed is asked of its settings; where a value came from is no change.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filled)

    def __hash__(self) -> int:
        return 0


class Masked(SecretStr):
    """A secret text; `get_secret_value()` gives it away, everything else shows `***`."""

    def _display(self) -> str:
        return MASK if self._secret_value else ""


def _refuse_unreadable(value: object) -> object:
    if isinstance(value, Unreadable):
        raise ValueError(value.message)  # noqa: TRY004 - pydantic reports ValueError
    return value


def is_url(text: str) -> bool:
    """Whether it begins as a URL with a host does."""
    return _URL.match(text) is not None


def redact_url(url: str) -> str:
    """The URL with `***` for its password, for a user name that stands alone, as tokens do, and for secret parameters.

    Of a URL that cannot be taken apart with certainty, only the scheme is left.
    """
    parts = _split(url)
    if parts is None:
        return f"{url.partition('://')[0]}://{MASK}" if "://" in url else MASK
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    hidden = f"{user}:{MASK}" if colon else MASK
    query = _SECRET_PARAMETER.sub(rf"\1{MASK}", parts.query)
    return urlunsplit(parts._replace(netloc=f"{hidden}@{host}" if at else host, query=query))


def _split(url: str) -> SplitResult | None:
    """The parts, or None when a password with an unquoted `/`, `?` or `#` may have ended up in the wrong one."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    # `https://user:pa/ss@host` is a host `user`, a port `pa` and the rest of the password in the path: no part of it
    # may be shown.
    misplaced = "@" in parts.path + parts.query + parts.fragment and ":" in parts.netloc
    return None if misplaced else parts


def with_password(url: str, password: str) -> str:
    """The URL with this password in place of any that it has."""
    parts = urlsplit(url)
    credentials, _, host = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def found_in(settings: object) -> Iterator[str]:
    """Every secret that a model of settings has, however deep, and of a URL its password too."""
    match settings:
        case Masked():
            secret = settings.get_secret_value()
            # The whole first, since it may be a URL that an error repeats letter by letter.
            yield secret
            yield from _password(secret)
        case str():
            yield from _password(settings)
        case BaseModel():
            yield from filled_of(settings)
            yield from found_in(settings.__dict__)
        case Mapping():
            yield from found_in(list(settings.values()))
        case list() | tuple() | set() | frozenset():
            for value in settings:
                yield from found_in(value)


def _password(url: str) -> Iterator[str]:
    parts = _split(url) if is_url(url) else None
    if parts and parts.password:
        # Servers repeat it decoded, libraries as it stands in the URL.
        yield from (parts.password, unquote(parts.password))


def filled_of(settings: BaseModel) -> Filled:
    """What came from variables into the file that these settings were read from."""
    filled: Filled = getattr(settings, "_filled", Filled())
    return filled


def without(text: str, filled: frozenset[str]) -> str:
    """The text without what came from variables; what is short is masked only where it is all that there is."""
    if text in filled:
        return MASK
    # The longest first: a secret that begins another would leave the other's end to be read.
    for value in sorted(filled, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, MASK)
    return _SHOWN.sub(_masked, text)


def _masked(shown: re.Match[str]) -> str:
    """The scheme without the credential; what is a word of a sentence, or a challenge, stays."""
    scheme, space, value = shown.groups()
    if scheme.lower() == "bearer":
        # A challenge such as `Bearer realm` has no digits.
        is_one = len(value) >= _SHORTEST_TOKEN and any(letter.isdigit() for letter in value)
    else:
        try:
            # Basic is name:password; what has no colon inside is a word that happens to be base64.
            is_one = b":" in b64decode(value + "=" * (-len(value) % 4))
        except ValueError:
            is_one = False
    return f"{scheme}{space}{MASK}" if is_one else shown[0]


def named(names: Iterable[str]) -> Iterator[str]:
    """What is secret of the environment's variables that programs are given, as their names say: tokens, keys …"""
    yield from (os.environ[name] for name in names if _SECRET_NAME.search(name) and name in os.environ)


def conceal(text: str, settings: object, more: Iterable[str] = ()) -> str:
    """The text without the secrets of these settings, and `more`; what is shorter than six characters stays.

    That short, it may be any word.
    """
    for secret in sorted({*found_in(settings), *more}, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return _SHOWN.sub(_masked, text)


Secret = Annotated[Masked, BeforeValidator(_refuse_unreadable), PlainSerializer(lambda _: MASK, return_type=str)]
"""A config field for a secret; `Settings` also accepts it as `<name>_file`."""

SecretUrl = Annotated[
    Masked,
    BeforeValidator(_refuse_unreadable),
    PlainSerializer(lambda url: redact_url(url.get_secret_value()), return_type=str),
]
"""A config field for a URL that may carry credentials; shown without them."""
