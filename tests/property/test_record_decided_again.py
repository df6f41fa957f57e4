"""Generated records decided again: they prove themselves, and the same limits under other numbers change nothing.

The streams hold every kind of command, repeats, refusals and malformed words among them.
"""

import dataclasses
from pathlib import Path

import pytest

from controlplane.gate.gate import Gate
from controlplane.gate.replay import Replay
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.reader import read_parts
from controlplane.limits.whatif import run_under
from tests.support.gate_commands import Stream
from tests.support.gate_machines import SMALL, Reply
from tests.support.gate_universes import TINY, USUAL, WIDE, universe
from tests.support.rig import TwoClocks

COMMANDS = 900
SEGMENT_BYTES = 1 << 17


@pytest.fixture(params=[601, 602, 603, 604, 605, 606])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The log of a gate that took a generated stream, and was started again in the middle of it."""
    seed = int(request.param)
    snapshot = universe(seed, (USUAL, WIDE, TINY)[seed % 3])
    clock, stream = TwoClocks(), Stream(seed, snapshot)
    for _ in range(2):
        gate = Gate.open(snapshot, directory=tmp_path, clock=clock, capacity=SMALL, segment_bytes=SEGMENT_BYTES)
        for _ in range(COMMANDS // 2):
            command = stream.next()
            clock.wall, clock.steady = command.wall_ns, command.monotonic_ns
            head = gate.apply(command.words)
            entry = tuple(int(word) for word in gate.entry)
            stream.saw(command, Reply(entry, bool(head >> 48 & 1), gate.sequence, gate.permit_code))
        gate.commit()
        gate.close()
    return tmp_path / "journal" / "gate-0"


def renumbered(snapshot: Snapshot) -> Snapshot:
    """Return the same limits with every name at another number; the firm is always first."""
    return dataclasses.replace(
        snapshot,
        routes=snapshot.routes[::-1],
        instruments=snapshot.instruments[::-1],
        rates=snapshot.rates[::-1],
        nodes=(snapshot.nodes[0], *snapshot.nodes[:0:-1]),
    )


def test_generated_record_recomputes_to_every_word(log: Path) -> None:
    found = Replay(log).run()

    assert found.difference is None
    assert sum(found.decisions.values()) > 100


def test_the_same_limits_under_other_numbers_answer_every_request_alike(log: Path) -> None:
    found = run_under(renumbered, read_parts(log))

    assert (found.denied, found.allowed, found.other_reason) == ((), (), 0)
    assert set(found.left_out.values()) == {0}
    assert found.decisions == Replay(log).run().decisions
