"""The pages of reference: which there are, and where each comes from."""

from __future__ import annotations

from pathlib import Path

from deploywatch.reference import api_page, command_line
from deploywatch.reference.schema_page import Page

_ROOT = Path(__file__).parents[2]
DOCS = _ROOT / "docs"
_MADE = "This page is made by `python -m deploywatch.reference` from the schema; a test holds it."
_FILES = (
    "`${NAME}` may stand for any value, and is filled in from the environment. A key without a default is not there "
    "unless you write it. Unknown keys are refused."
)

SCHEMAS = (
    Page(
        "exporter.md",
        "exporter.yml: every key",
        f"What it means, with examples: [the exporter's config](../exporter/config.md). {_MADE}\n\n{_FILES}",
        _ROOT / "exporter/schema.json",
    ),
    Page(
        "receiver.md",
        "receiver.yml: every key",
        f"What it means, with examples: [running the receiver](../receiver.md). {_MADE}\n\n{_FILES}",
        _ROOT / "receiver/schema.json",
    ),
    Page(
        "policy.md",
        "Policies: every key",
        "What it means, with examples: [policies](../rules/policy.md) and [conditions](../rules/conditions.md). "
        f"{_MADE}\n\n{_FILES}",
        _ROOT / "rules/schema.json",
    ),
    Page(
        "verification-plan.md",
        "The verification plan: every key",
        "What it is for: [verification](../rules/verification.md). `rules build` writes it, and nobody by hand. "
        f"{_MADE}",
        DOCS / "verification-plan.schema.json",
    ),
)


def written() -> dict[Path, str]:
    """Every page, by its file."""
    return {
        DOCS / "reference.md": command_line.page(),
        **{DOCS / "reference" / page.file: page.text() for page in SCHEMAS},
        DOCS / "reference/api.md": api_page.page(DOCS / "openapi.json"),
    }
