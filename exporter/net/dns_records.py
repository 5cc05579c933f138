"""What the records of an answer must be, and the names that are known of types, classes and codes."""

from __future__ import annotations

from collections.abc import Sequence

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA

from deploywatch.config import Settings
from deploywatch.exporter.net.pattern import Pattern, search
from deploywatch.exporter.results import Failed, Reason

_MOST_NAMED = 3


def known_type(text: str) -> str:
    try:
        dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{text!r} is not a type of record; write one such as A, AAAA, MX or SOA") from error
    return text.upper()


def known_class(text: str) -> str:
    try:
        dns.rdataclass.from_text(text)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{text!r} is not a class of records; write one such as IN or CH") from error
    return text.upper()


def known_rcode(text: str) -> str:
    try:
        dns.rcode.from_text(text)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{text!r} is not a response code; write one such as NOERROR or NXDOMAIN") from error
    return text.upper()


class RecordRules(Settings):
    """What the records of one section must match, each written as a line of a zone file with tabs between its parts.

    The names are blackbox_exporter's, and so is what they mean: `fail_if_all_match_regexp` fails unless all match.
    """

    fail_if_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_all_match_regexp: tuple[Pattern, ...] = ()
    fail_if_not_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_none_matches_regexp: tuple[Pattern, ...] = ()

    async def check(self, section: str, lines: Sequence[str]) -> None:
        """Failed(body) names the first rule that does not hold."""
        # As blackbox_exporter: an empty section satisfies "must not match" and no "must match".
        if not lines and (self.fail_if_not_matches_regexp or self.fail_if_none_matches_regexp):
            raise Failed(Reason.BODY, f"there is no record in the {section} section")
        for line in lines:
            for pattern in self.fail_if_matches_regexp:
                if await search(pattern, line.encode()) is not None:
                    raise Failed(Reason.BODY, f"{section}: {line!r} matches {pattern!r}")
            for pattern in (*self.fail_if_not_matches_regexp, *self.fail_if_all_match_regexp):
                if await search(pattern, line.encode()) is None:
                    raise Failed(Reason.BODY, f"{section}: {line!r} does not match {pattern!r}")
        wanted = self.fail_if_none_matches_regexp
        matches = [True for line in lines for pattern in wanted if await search(pattern, line.encode()) is not None]
        if wanted and not matches:
            raise Failed(Reason.BODY, f"{section}: no record matches {' or '.join(map(repr, wanted[:_MOST_NAMED]))}")
