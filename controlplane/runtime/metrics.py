"""Every Prometheus name, label and unit in one list; nothing else may invent one.

metrics.GATE_DECISION_SECONDS.observe(0.000_004)
metrics.GATE_DECISIONS.labels(outcome="denied", code="FEED_STALE").inc()
"""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()
# A second series beside every counter, with the time of its making: names that nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From half a microsecond, the embedded gate, to a tenth of a second, a disk in trouble.
FAST_SECONDS = (5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 1e-1)
SLOW_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

GATE_DECISION_SECONDS = Histogram(
    "cp_gate_decision_seconds",
    "Time from an order's arrival at the gate to its answer, journal append included, in seconds.",
    buckets=FAST_SECONDS,
    registry=REGISTRY,
)
GATE_DECISIONS = Counter(
    "cp_gate_decisions_total",
    "Orders decided, by outcome and by the first failed check (NONE when allowed).",
    ("outcome", "code"),
    registry=REGISTRY,
)
JOURNAL_APPEND_SECONDS = Histogram(
    "cp_journal_append_seconds",
    "Time to make a group of journal records as durable as the setting asks, in seconds.",
    buckets=FAST_SECONDS,
    registry=REGISTRY,
)
JOURNAL_RECORDS = Counter("cp_journal_records_total", "Records appended to the journal.", registry=REGISTRY)
DRAIN_LAG_RECORDS = Gauge("cp_drain_lag_records", "Journal records that are not in PostgreSQL yet.", registry=REGISTRY)
DRAIN_STATUS_AGE_SECONDS = Gauge(
    "cp_drain_status_age_seconds",
    "Age of the drain's last word about its trees, in seconds; above a few, no drain runs. -1 before the first.",
    registry=REGISTRY,
)
TREE_SIZE_RECORDS = Gauge(
    "cp_tree_size_records", "Records under the newest signed checkpoint, by log.", ("log",), registry=REGISTRY
)
COSIGNED_SIZE_RECORDS = Gauge(
    "cp_cosigned_size_records",
    "Records under the newest checkpoint that the witness signed too, by log.",
    ("log",),
    registry=REGISTRY,
)
COSIGNATURE_WAIT_SECONDS = Gauge(
    "cp_cosignature_wait_seconds",
    "How long the oldest checkpoint without the witness's signature has waited, by log, in seconds; late above 30.",
    ("log",),
    registry=REGISTRY,
)
TREE_STOPPED = Gauge(
    "cp_tree_stopped_logs",
    "Logs, one a label, that are no longer signed because facts contradict each other; 0 or 1.",
    ("log",),
    registry=REGISTRY,
)
HTTP_REQUEST_SECONDS = Histogram(
    "cp_http_request_seconds",
    "Time to answer a web request, by method, route pattern and status, in seconds.",
    ("method", "route", "status"),
    buckets=SLOW_SECONDS,
    registry=REGISTRY,
)
DEPENDENCY_ERRORS = Counter(
    "cp_dependency_errors_total",
    "Web requests answered with 503 because something outside was unwell, by error.",
    ("error",),
    registry=REGISTRY,
)
LOG_LINES_LOST = Counter(
    "cp_log_lines_lost_total",
    "Log lines that the output refused, as on a full disk; records of the journal are never among them.",
    registry=REGISTRY,
)
CHILD_DENIED = Counter(
    "ex_child_denied_total",
    "Child orders that the gate denied, by first failed check.",
    ("code",),
    registry=REGISTRY,
)
CHILD_FILLED = Counter(
    "ex_child_filled_total", "Fills of child orders, partial ones included, by venue.", ("venue",), registry=REGISTRY
)


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """One metric as its reader sees it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help_text: str


def render() -> bytes:
    """What Prometheus reads from this process, in its text format; its type is `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)


def described() -> Iterator[MetricDescription]:
    """Every metric of the list, in the order above; documents and their checks are made from it."""
    for value in globals().values():
        if isinstance(value, Counter | Gauge | Histogram):
            # The client keeps a counter's name without the suffix that it shows.
            suffix = "_total" if isinstance(value, Counter) else ""
            yield MetricDescription(
                name=value._name + suffix,
                kind=value._type,
                labels=tuple(value._labelnames),
                help_text=value._documentation,
            )
