"""The service reads its gate again and again, and gives it a sign of life each time."""

import time

from controlplane.domain.clock import ManualClock
from controlplane.halts.readings import GateReadings
from tests.support.gates import FakeGateControl
from tests.support.policies import AS_OF_NS


def test_each_round_of_readings_begins_with_a_sign_of_life_also_after_the_gate_was_away() -> None:
    clock = ManualClock(AS_OF_NS)
    gate = FakeGateControl(clock.wall_ns)
    gate.is_away = True
    readings = GateReadings(gate, clock)

    readings.start()
    deadline = time.monotonic() + 10
    while len(gate.acts("beat")) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
        gate.is_away = len(gate.acts("beat")) < 1
    readings.stop()

    assert gate.acts("beat")[:2] == [{"source": "supervisor"}] * 2
    assert gate.calls[0][0] == "beat"
