"""Events: a name and key-value pairs, in the form and from the level that was asked for."""

import errno
import io
import json
import logging

import pytest

from controlplane.runtime import metrics
from controlplane.runtime.logs import configure_logs, get_logger
from controlplane.runtime.settings import LogFormat, LogLevel


def test_event_is_one_json_object_with_its_name_subject_and_values() -> None:
    stream = io.StringIO()
    configure_logs(form=LogFormat.JSON, stream=stream)

    get_logger("gate.process").warning("journal_slow", seconds=0.5)

    event = json.loads(stream.getvalue())
    assert (event["event"], event["subject"], event["seconds"], event["level"]) == (
        "journal_slow",
        "gate.process",
        0.5,
        "warning",
    )
    assert event["timestamp"].endswith("Z")


def test_event_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure_logs(level=LogLevel.WARNING, form=LogFormat.JSON, stream=stream)

    get_logger("x").info("started")

    assert stream.getvalue() == ""


def test_logger_made_before_the_set_up_follows_it() -> None:
    log = get_logger("early")
    stream = io.StringIO()
    configure_logs(form=LogFormat.JSON, stream=stream)

    log.info("late")

    assert json.loads(stream.getvalue())["event"] == "late"


def test_warning_of_a_library_is_an_event_as_well_and_its_chatter_is_not() -> None:
    stream = io.StringIO()
    configure_logs(form=LogFormat.JSON, stream=stream)

    logging.getLogger("some.library").info("connecting")
    logging.getLogger("some.library").warning("slow %s", "answer")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["slow answer"]


def test_console_form_is_one_line_without_colours_where_nobody_watches() -> None:
    stream = io.StringIO()
    configure_logs(form=LogFormat.CONSOLE, stream=stream)

    get_logger("x").info("gate_started", epoch=3)

    assert "gate_started" in stream.getvalue()
    assert "epoch=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


class Refusing(io.StringIO):
    """An output that takes nothing more."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "no space left"), BrokenPipeError(), ValueError("I/O operation on closed file")]
)
def test_output_that_takes_no_more_stops_nobody_and_is_counted(error: Exception) -> None:
    lost_before = lost_total()
    configure_logs(form=LogFormat.JSON, stream=Refusing(error))

    get_logger("gate.process").warning("journal_slow")
    logging.getLogger("some.library").warning("slow answer")

    assert lost_total() >= lost_before + 2


def lost_total() -> float:
    return metrics.REGISTRY.get_sample_value("cp_log_lines_lost_total") or 0.0
