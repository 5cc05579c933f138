"""Names that read like another: in other letters, other cases, or with signs around them."""

from __future__ import annotations

import unicodedata
from typing import Final

# Letters of other alphabets, and digits, that read like those of our name; from Unicode's confusables.txt (UTS 39).
_ALIKE: Final = str.maketrans(
    {
        **dict.fromkeys("ԁժ", "d"),
        **dict.fromkeys("еєҽ3", "e"),
        **dict.fromkeys("рρ", "p"),
        **dict.fromkeys("ӏ|1і", "l"),
        **dict.fromkeys("оοօ0", "o"),
        **dict.fromkeys("уүγ", "y"),
        **dict.fromkeys("ԝѡω", "w"),
        **dict.fromkeys("аα", "a"),
        **dict.fromkeys("тτ", "t"),
        **dict.fromkeys("сϲ", "c"),
        **dict.fromkeys("һհ", "h"),
    }
)


def folded(name: str) -> str:
    """The name as it is compared with other people's: `Ann` is `ann`, in whatever width her letters are written."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def reads_as(name: str, other: str) -> bool:
    """Whether a person who sees the name would take it for the other, which is written in small Latin letters."""
    plain = unicodedata.normalize("NFKD", folded(name)).translate(_ALIKE)
    return "".join(letter for letter in plain if letter.isalnum()) == other
