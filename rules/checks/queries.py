"""Checks of a policy's own queries: each gives the labels by which services are told apart and selected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import promql_parser
from promql_parser import AggModifier, AggModifierType, AggregateExpr, BinaryExpr, Call, NumberLiteral, StringLiteral

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules.checks.draft import Draft, Fault
from deploywatch.rules.signals.custom import BORNE, Custom

_WITHOUT_LABELS = frozenset({"vector", "scalar", "time", "pi", "absent", "absent_over_time"})

_SELECTING = frozenset({"topk", "bottomk"})
"""Aggregations that leave the labels of what they pick."""


def queries_tell_services_apart(draft: Draft) -> Iterator[Fault]:
    """An alert without a service reaches nobody, and a selector that a query's values cannot be held to holds none."""
    given = draft.given.get("selectors")
    selected = [name for name in given if isinstance(name, str)] if isinstance(given, dict) else []
    for name in sorted(draft.custom):
        signal = draft.signals.get(name)
        if not isinstance(signal, Custom):
            continue
        query = promql_parser.parse(signal.given.query)
        wanted = dict.fromkeys([SERVICE, *(label for label in selected if label == ENVIRONMENT), *signal.labels])
        missing = [label for label in wanted if not bears(query, label)]
        if missing:
            by = ", ".join(dict.fromkeys([*BORNE, *signal.labels]))
            message = f"gives values without the label {missing[0]}; write `by ({by})` after the aggregation"
            yield Fault(("signals", name, "query"), message)
        for label in selected:
            if label not in {*BORNE, *signal.labels} and label not in signal.given.query:
                message = f"does not keep to selectors.{label}; select {label} in the query, or add it to `labels`"
                yield Fault(("signals", name, "query"), message)


def bears(expression: object, label: str) -> bool:
    """Whether the values of an expression can have a label."""
    match expression:
        case NumberLiteral() | StringLiteral():
            return False
        case AggregateExpr(modifier=modifier, expr=aggregated):
            # These choose among series and keep their labels.
            if str(expression.op) in _SELECTING:
                return bears(aggregated, label)
            return modifier is not None and _grouping_bears(modifier, aggregated, label)
        case BinaryExpr(lhs=left, rhs=right):
            # Matching may drop labels of one side; to take either's is the milder guess, and a test shows the truth.
            return bears(left, label) or bears(right, label)
        case Call(func=function, args=arguments):
            return _call_bears(function.name, arguments, label)
    inside: object = getattr(expression, "expr", None)
    return inside is None or bears(inside, label)


def _grouping_bears(modifier: AggModifier, aggregated: object, label: str) -> bool:
    if modifier.type == AggModifierType.By:
        return label in modifier.labels
    return label not in modifier.labels and bears(aggregated, label)


def _call_bears(function: str, arguments: Sequence[object], label: str) -> bool:
    if function in _WITHOUT_LABELS:
        return False
    if function in {"label_replace", "label_join"} and getattr(arguments[1], "val", None) == label:
        return True
    return any(bears(argument, label) for argument in arguments)
