"""What a policy must fulfil beyond its form; each check reads what it needs, so that one fault hides no other."""

from __future__ import annotations

from deploywatch.rules.checks.contradictions import conditions_can_be_true_and_false
from deploywatch.rules.checks.draft import Check, Draft, Fault, draft
from deploywatch.rules.checks.forms import (
    constants_are_selected,
    names_are_single,
    sources_are_known,
    texts_can_be_filled,
    waits_are_evaluations,
    window_holds_two_samples,
)
from deploywatch.rules.checks.judgements import impact_is_measured, kinds_have_weights, limits_are_of_one_signal
from deploywatch.rules.checks.limits import conditions_mean_something, observed_signals_are_known
from deploywatch.rules.checks.objectives import objectives_can_be_counted
from deploywatch.rules.checks.parts import parts_are_there
from deploywatch.rules.checks.queries import queries_tell_services_apart
from deploywatch.rules.checks.times import limits_step_in_known_windows
from deploywatch.rules.checks.verification import (
    requirements_are_whole,
    roles_are_told_apart_everywhere,
    stages_are_judged,
    verdicts_are_of_counts,
    verdicts_cite_known_sources,
)

__all__ = ["CHECKS", "Check", "Draft", "Fault", "draft"]

CHECKS: tuple[Check, ...] = (
    window_holds_two_samples,
    names_are_single,
    sources_are_known,
    constants_are_selected,
    queries_tell_services_apart,
    waits_are_evaluations,
    conditions_mean_something,
    conditions_can_be_true_and_false,
    observed_signals_are_known,
    parts_are_there,
    objectives_can_be_counted,
    limits_step_in_known_windows,
    limits_are_of_one_signal,
    kinds_have_weights,
    impact_is_measured,
    verdicts_are_of_counts,
    stages_are_judged,
    roles_are_told_apart_everywhere,
    requirements_are_whole,
    verdicts_cite_known_sources,
    texts_can_be_filled,
)
