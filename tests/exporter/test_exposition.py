"""The text of /metrics: prometheus_client's parser reads back what was measured, whatever the labels say."""

from __future__ import annotations

import math
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.exporter.exposition import BASE, Exposition, Format, layout_of, negotiate, number, pairs, series_of
from deploywatch.exporter.results import Family, Sample

LABEL_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
LABELS = st.dictionaries(LABEL_NAMES, st.text(max_size=20), max_size=4).map(lambda d: tuple(d.items()))
VALUES = st.floats() | st.integers(-(10**20), 10**20)
FAMILIES = [Family(f"family_{letter}", "gauge", f"Help with \\ and \n in {letter}.") for letter in "abc"]


@given(
    st.lists(
        st.tuples(st.text(max_size=20), st.lists(st.tuples(st.sampled_from(FAMILIES), LABELS, VALUES), max_size=6)),
        max_size=4,
    )
)
def test_what_is_read_back_is_what_was_measured(
    targets: list[tuple[str, list[tuple[Family, tuple[tuple[str, str], ...], float]]]],
) -> None:
    exposition = Exposition()
    expected: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for position, (service, measured) in enumerate(targets):
        base = (("SERVICE", service), ("N", str(position)))
        unique = {(family, labels): value for family, labels, value in measured}
        samples = [Sample(family, value, labels) for (family, labels), value in unique.items()]
        exposition.put_samples(position, base, samples)
        for sample in samples:
            expected[sample.family.name, frozenset((*base, *sample.labels))] = float(sample.value)
    families = list(text_string_to_metric_families(exposition.text()))
    assert len({family.name for family in families}) == len(families), "a family's samples stand together"
    read = {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
    assert read.keys() == expected.keys()
    assert all(read[key] == value or (math.isnan(read[key]) and math.isnan(value)) for key, value in expected.items())
    assert {family.documentation for family in families} <= {family.help for family in FAMILIES}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (True, "1"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_target_that_is_put_again_replaces_what_it_had() -> None:
    one, other = FAMILIES[:2]
    exposition = Exposition()
    exposition.put_samples("shop", (("service", "shop"),), [Sample(one, 1), Sample(other, 2)])
    exposition.put_samples("shop", (("service", "shop"),), [Sample(other, 3)])
    assert exposition.text().splitlines()[2:] == ['family_b{service="shop"} 3']


def test_a_target_without_labels_has_no_braces_but_around_labels_of_the_sample() -> None:
    exposition = Exposition()
    exposition.put_samples("", (), [Sample(FAMILIES[0], 1), Sample(FAMILIES[1], 2, (("phase", "{,100%}"),))])
    assert [line for line in exposition.text().splitlines() if line[0] != "#"] == [
        "family_a 1",
        'family_b{phase="{,100%}"} 2',
    ]


def test_of_a_series_that_is_there_twice_the_first_counts() -> None:
    exposition = Exposition()
    exposition.put_samples("shop", (), [Sample(FAMILIES[0], 1), Sample(FAMILIES[1], 2), Sample(FAMILIES[0], 3)])
    assert [line for line in exposition.text().splitlines() if line[0] != "#"] == ["family_a 1", "family_b 2"]


def test_targets_with_the_same_series_share_one_layout_which_goes_with_the_last_of_them() -> None:
    samples = [Sample(FAMILIES[0], 1, (("user", "42"),)), Sample(FAMILIES[1], 2)]
    series = series_of(samples)
    layout = layout_of(series)
    assert layout_of(series_of([sample._replace(value=7) for sample in samples])) is layout
    held = weakref.ref(layout)
    del layout
    assert held() is None, "labels that come and go are not remembered for ever"


def test_lines_that_many_targets_have_alike_bear_the_labels_of_each() -> None:
    exposition = Exposition()
    parts = tuple(f'family_a{{{BASE},reason="dns"}} 0\nfamily_a{{{BASE},reason="tls"}} 0\n'.split(BASE))
    for name in ("shop", "pay"):
        exposition.put_alike(name, FAMILIES[0], parts, pairs((("service", name),)))
    exposition.remove("shop")
    assert exposition.text().splitlines()[2:] == [
        'family_a{service="pay",reason="dns"} 0',
        'family_a{service="pay",reason="tls"} 0',
    ]
    exposition.remove("pay")
    assert exposition.text() == ""


def test_a_target_that_is_removed_leaves_nothing() -> None:
    exposition = Exposition()
    exposition.put_samples("shop", (("service", "shop"),), [Sample(FAMILIES[0], 1)])
    exposition.remove("shop")
    assert exposition.text() == ""


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html,*/*;q=0.1", Format.TEXT),
        ("application/openmetrics-text", Format.OPENMETRICS),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
            Format.OPENMETRICS,
        ),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=x", Format.TEXT),
    ],
)
def test_the_format_is_the_one_that_is_preferred(accept: str, format_: Format) -> None:
    assert negotiate(accept) is format_


@given(st.lists(st.tuples(LABELS, VALUES), max_size=6, unique_by=lambda pair: frozenset(pair[0])))
def test_openmetrics_is_read_back_too(measured: list[tuple[tuple[tuple[str, str], ...], float]]) -> None:
    gauge, counter = Family("a", "gauge", 'Help with "quotes".'), Family("b_total", "counter", "Help.")
    exposition = Exposition()
    samples = [Sample(gauge, value, labels) for labels, value in measured]
    exposition.put_samples("x", (("SERVICE", "shop"),), [*samples, Sample(counter, 7)])
    text = exposition.text(Format.OPENMETRICS) + "# EOF\n"
    read = {family.name: family for family in openmetrics(text)}  # type: ignore[no-untyped-call]
    assert (read["b"].type, read["b"].samples[0].value) == ("counter", 7)
    if measured:
        assert read["a"].documentation == 'Help with "quotes".'
        values = {frozenset(sample.labels.items()): sample.value for sample in read["a"].samples}
        for labels, value in measured:
            found = values[frozenset((("SERVICE", "shop"), *labels))]
            assert found == float(value) or (math.isnan(found) and math.isnan(value))


def test_a_long_page_comes_in_pieces_none_of_which_takes_long_to_make() -> None:
    exposition = Exposition()
    family = Family("probe_failures_total", "counter", "Failures.")
    for place in range(5_000):
        labels = (("service", f"service{place}"), ("environment", "production"), ("probe", "http"))
        samples = [Sample(family, 1, (("reason", f"reason{reason}"),)) for reason in range(12)]
        exposition.put_samples(f"target{place}", labels, samples)
    pieces = list(exposition.pieces())
    assert "".join(pieces) == exposition.text()
    assert exposition.text().count("\n") == 60_002
    assert max(map(len, pieces)) < 512 * 1024
