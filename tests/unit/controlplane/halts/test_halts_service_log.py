"""The web service's own log: durable, rebuilt after a restart, held by one service alone."""

from pathlib import Path

import pytest

from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import JournalUnavailable
from controlplane.halts.service_log import ServiceLog, past_records
from controlplane.runtime.settings import Durability


def opened(directory: Path) -> ServiceLog:
    return ServiceLog.open(directory, durability=Durability.PROCESS, clock=SystemClock())


def test_what_was_recorded_is_there_after_a_restart_in_its_order(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.record({"kind": "SignedIn", "name": "operator", "address": "127.0.0.1"})
        log.record({"kind": "SignedOut", "name": "operator", "wall_ns": "5"})

    kinds = [str(facts["kind"]) for facts in past_records(tmp_path)]

    assert [kind for kind in kinds if kind.startswith("Signed")] == ["SignedIn", "SignedOut"]


def test_before_the_first_start_there_is_no_past(tmp_path: Path) -> None:
    assert past_records(tmp_path) == []


def test_a_second_service_on_the_same_state_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(JournalUnavailable, match="only writer"):
        opened(tmp_path)
