"""Numbers in paths and queries that are long or odd: 400 or 404, never 500."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.receiver.front import Front

ODD = {
    "5000 digits": "9" * 5000,
    "one more than there can be": str(2**63),
    "zero": "0",
    "many zeros": "0" * 30 + "1",
    "negative": "-1",
    "digits of another script": "٣" * 40,
    "superscript": "²",
    "a fraction": "1.5",
    "an exponent": "1e3",
    "a separator": "1_0",
    "a space": " 1",
    "a line end": "1\n",
    "nul": "1\x00",
    "a path": "../1",
    "letters": "one",
}


@pytest.mark.parametrize("name", ODD)
async def test_a_number_that_is_none_is_400_or_404_on_every_route(front: Front, name: str) -> None:
    tried = 0
    for method, path in _numbered():
        answer = await front.ask(method, path.replace("{id}", quote(ODD[name], safe="")))
        assert answer in {400, 404}, (method, path, answer)
        tried += 1
    assert tried > 15
