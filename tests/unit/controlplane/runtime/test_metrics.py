"""The one list of metrics: names that say package, subject and unit, and what Prometheus reads."""

import re

from controlplane.runtime import metrics

BEGUN_WITH = {
    "cp_gate_decision_seconds",
    "cp_gate_decisions_total",
    "cp_journal_append_seconds",
    "cp_journal_records_total",
    "cp_drain_lag_records",
    "cp_http_request_seconds",
    "ex_child_denied_total",
    "ex_child_filled_total",
}


def test_list_holds_every_metric_of_the_first_part() -> None:
    assert {metric.name for metric in metrics.described()} >= BEGUN_WITH


def test_names_say_package_subject_and_unit() -> None:
    wrong = [
        metric.name
        for metric in metrics.described()
        if not re.fullmatch(
            r"(?:cp|ex)_[a-z]+(?:_[a-z]+)*_(?:seconds|total|records|bytes|frac|lots|ticks|logs)", metric.name
        )
    ]

    assert wrong == []


def test_counters_and_only_counters_end_in_total() -> None:
    wrong = [m.name for m in metrics.described() if (m.kind == "counter") != m.name.endswith("_total")]

    assert wrong == []


def test_every_metric_says_what_it_counts_in_a_sentence() -> None:
    assert [m.name for m in metrics.described() if not re.fullmatch(r"[A-Z].{15,}\.", m.help_text)] == []


def test_rendered_text_holds_what_was_counted() -> None:
    counted = metrics.CHILD_DENIED.labels(code="TEST_ONLY")
    counted.inc()
    counted.inc()

    text = metrics.render().decode()

    assert 'ex_child_denied_total{code="TEST_ONLY"} 2.0' in text
    metrics.CHILD_DENIED.remove("TEST_ONLY")


def test_described_metrics_are_the_rendered_ones() -> None:
    rendered = set(re.findall(r"^# HELP (\S+)", metrics.render().decode(), re.MULTILINE))

    assert {metric.name for metric in metrics.described()} == rendered
