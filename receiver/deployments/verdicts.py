"""Verdicts as the store keeps them: a row a judged look, with its reason, sentences, findings and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.deployment_schema import deployment_verdicts
from deploywatch.verdict.values import Answer, Decision, Finding, Reason


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The verdict on a stage at one look; `findings` has one entry a limit, `confidence` its value and its pieces."""

    id: int
    stage_id: int
    deployment_id: int
    look: int
    at: datetime
    answer: Answer
    reason: Reason
    also: tuple[Reason, ...]
    sentences: tuple[str, ...]
    findings: Sequence[Mapping[str, Any]]
    confidence: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "id": self.id,
            "stage": self.stage_id,
            "deployment": self.deployment_id,
            "look": self.look,
            "at": self.at.isoformat(),
            "answer": self.answer,
            "reason": self.reason,
            "also": list(self.also),
            "sentences": list(self.sentences),
            "findings": [dict(finding) for finding in self.findings],
            "confidence": dict(self.confidence),
        }


def record(
    connection: Connection, *, stage_id: int, deployment_id: int, look: int, decision: Decision, now: datetime
) -> StoredVerdict:
    """Store what was judged at a look."""
    confidence = decision.confidence
    row = {
        "stage_id": stage_id,
        "deployment_id": deployment_id,
        "look": look,
        "at": now,
        "answer": decision.answer,
        "reason": decision.reason,
        "also": list(decision.also),
        "sentences": list(decision.sentences),
        "findings": [_finding(finding) for finding in decision.findings],
        "confidence": {
            "value": confidence.value,
            "coverage": confidence.coverage,
            "agreement": confidence.agreement,
            "sufficiency": confidence.sufficiency,
            "why_not_higher": confidence.why_not_higher,
        },
    }
    number = insert_id(connection, deployment_verdicts, row)
    query = select(deployment_verdicts).where(deployment_verdicts.c.id == number)
    # Read back, so that what is answered went through the same JSON as what is read later.
    return _verdict(connection.execute(query).mappings().one())


def newest(connection: Connection, stage_id: int) -> StoredVerdict | None:
    """The newest verdict on a stage; None before its first look."""
    query = select(deployment_verdicts).where(deployment_verdicts.c.stage_id == stage_id)
    row = connection.execute(query.order_by(deployment_verdicts.c.id.desc()).limit(1)).mappings().first()
    return _verdict(row) if row else None


def was_promoted(connection: Connection, stage_id: int) -> bool:
    """Whether any look at the stage has proven that it is well."""
    query = select(deployment_verdicts.c.id).where(
        deployment_verdicts.c.stage_id == stage_id, deployment_verdicts.c.answer == Answer.PROMOTE
    )
    return connection.execute(query.limit(1)).first() is not None


def of_deployment(connection: Connection, deployment_id: int, *, limit: int = 100) -> list[StoredVerdict]:
    """The verdicts on a deployment's stages, the newest first."""
    query = select(deployment_verdicts).where(deployment_verdicts.c.deployment_id == deployment_id)
    rows = connection.execute(query.order_by(deployment_verdicts.c.id.desc()).limit(limit)).mappings()
    return [_verdict(row) for row in rows]


def proof(connection: Connection, deployment_id: int) -> str:
    """The sentence by which a deployment was judged bad; empty where it was not."""
    query = select(deployment_verdicts.c.sentences).where(
        deployment_verdicts.c.deployment_id == deployment_id, deployment_verdicts.c.answer == Answer.ROLL_BACK
    )
    # The first that proved it: later looks are of a version that may be on its way out already.
    sentences = connection.execute(query.order_by(deployment_verdicts.c.id).limit(1)).scalar()
    return str(sentences[0]) if sentences else ""


def _finding(finding: Finding) -> dict[str, Any]:
    """A finding as plain data: its counts, what they prove, and how sure that is."""
    return {**asdict(finding), "ratio": finding.counts.ratio, "agrees": finding.agrees}


def _verdict(row: RowMapping) -> StoredVerdict:
    return StoredVerdict(
        **{
            **row,
            "answer": Answer(row["answer"]),
            "reason": Reason(row["reason"]),
            "also": tuple(Reason(reason) for reason in row["also"]),
            "sentences": tuple(row["sentences"]),
        }
    )
