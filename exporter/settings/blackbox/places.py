"""Where a fault of a translated module stands in its blackbox.yml: our keys, and what they are called there."""

from __future__ import annotations

from collections.abc import Mapping

from deploywatch.files.document import Path

_THERE: Mapping[Path, Path] = {
    ("tls",): ("tls_config",),
    ("use_tls",): ("tls",),
    ("oauth2", "tls"): ("oauth2", "tls_config"),
    ("max_body",): ("body_size_limit",),
    ("proxy_resolves",): ("skip_resolve_phase_with_proxy",),
    ("redirects",): ("follow_redirects",),
    ("username",): ("basic_auth", "username"),
    ("password",): ("basic_auth", "password"),
    ("expect", "status"): ("valid_status_codes",),
    ("expect", "http_version"): ("valid_http_versions",),
    ("expect", "body"): ("fail_if_body_not_matches_regexp",),
    ("expect", "body_not"): ("fail_if_body_matches_regexp",),
}
"""Ours, and theirs, below the section of the prober; keys that are not here are called the same."""

_NAMED = (" is a credential", " has what came from a variable")


def told_as_there(prober: str, below: Path, message: str) -> tuple[Path, str]:
    """A fault of ours with the path, and the key that its text begins with, as blackbox.yml has them."""
    inside = below[1:] if below[:1] == (prober,) else None
    path = below if inside is None else (prober, *_there(inside))
    for ending in _NAMED:
        named, separator, rest = message.partition(ending)
        if separator:
            return path, f"{'.'.join(map(str, (prober, *_there(tuple(named.split('.'))))))}{separator}{rest}"
    return path, message


def _there(path: Path) -> Path:
    for size in range(len(path), 0, -1):
        if path[:size] in _THERE:
            return (*_THERE[path[:size]], *path[size:])
    return path
