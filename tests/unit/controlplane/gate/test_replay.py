"""A log decided again: every word comes out the same, and the first that doesn't is named with its record."""

import dataclasses
from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import ChainBroken, InvalidRequest
from controlplane.gate.gate import Gate
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.replay import Replay, Replayed, gate_logs
from controlplane.gate.snapshot import Snapshot
from controlplane.journal import record
from controlplane.journal.reader import scan
from controlplane.journal.record import RecordKind
from tests.support.builders import PRICE, roomy_snapshot, tightened
from tests.support.journal import rewrite_word, write_log
from tests.support.rig import SMALL_CAPACITY, OpenRig, Rig

DESK = "desk:crypto"


@pytest.fixture
def traded(rig: Rig) -> Rig:
    """A gate that allowed, denied, filled and cancelled, and has ended."""
    rig.hold(10)
    rig.work(lots=5)
    assert not rig.buy(price=1).is_allowed
    rig.cancel(rig.work(lots=3))
    rig.quote(PRICE - 20, PRICE - 18)
    rig.gate.close()
    return rig


def log_of(rig: Rig) -> Path:
    return rig.directory / "journal" / "gate-0"


def replayed(rig: Rig) -> Replayed:
    return Replay(log_of(rig)).run()


def last_decision(rig: Rig) -> int:
    """The sequence of the last decision of a log."""
    return max(
        one.seq
        for one in scan(log_of(rig))
        if not one.is_json and one.entry[0] == RecordKind.ORDER_DECIDED
    )


@pytest.mark.case("GATE-130")
def test_every_record_of_a_log_recomputes_and_is_counted(traded: Rig) -> None:
    found = replayed(traded)

    assert found.difference is None
    assert found.records == len(list(scan(log_of(traded))))
    assert found.decisions == {"ALLOWED": 4, "DENIED": 1}
    assert found.versions == (1,)
    assert found.state is not None
    assert found.digest == f"{int(traded.gate.state.words[7]) & (1 << 64) - 1:016x}"


def test_two_passes_over_a_log_say_the_same(traded: Rig) -> None:
    assert replayed(traded).document() == replayed(traded).document()


@pytest.mark.parametrize(
    ("word", "name"), [(record.WORD_MEASURED, "measured"), (record.WORD_QUANTITY_LOTS, "quantity_lots")]
)
def test_altered_word_is_named_with_its_record_and_both_values(traded: Rig, word: int, name: str) -> None:
    """An input that was altered changes what follows from it; a result that was altered is itself the difference."""
    seq = last_decision(traded)
    rewrite_word(log_of(traded), seq, word, 4_242)

    found = replayed(traded)

    assert found.difference is not None
    assert found.difference.seq == seq
    assert found.records == seq - 1
    if word >= record.WORD_SNAPSHOT_VERSION:
        assert (found.difference.word, found.difference.recorded) == (name, "4242")
        assert found.difference.recomputed != "4242"
    sentence = found.difference.sentence()
    assert sentence.startswith(f"Record {seq} doesn't recompute: {found.difference.word} is recorded as ")
    assert sentence.count(".") == 1


def test_altered_answer_is_told_by_the_names_of_outcome_and_code(traded: Rig) -> None:
    seq = last_decision(traded)
    words = next(record.entry_words(one.entry) for one in scan(log_of(traded)) if one.seq == seq)
    rewrite_word(log_of(traded), seq, record.WORD_HEAD, words[0] & ~(3 << 16) | 2 << 16)

    found = replayed(traded)

    assert found.difference is not None
    assert found.difference.recorded.startswith("OrderDecided DENIED ")
    assert found.difference.recomputed.startswith("OrderDecided ALLOWED ")


def test_state_digest_stands_for_what_happened_before(traded: Rig) -> None:
    """Whoever alters a fill and everything in its own record is found out by the next record."""
    fill = next(one.seq for one in scan(log_of(traded)) if not one.is_json and one.entry[:2] == bytes((2, 5)))
    rewrite_word(log_of(traded), fill, record.WORD_DIGEST_AFTER, 1)

    found = replayed(traded)

    assert found.difference is not None
    assert (found.difference.seq, found.difference.word) == (fill, "digest_after")
    assert found.difference.recorded == "0000000000000001"


@pytest.mark.case("EVIDENCE-40")
def test_another_rule_book_stops_at_the_record_of_its_loading_and_names_the_field(traded: Rig) -> None:
    def other(recorded: Snapshot) -> Snapshot:
        return tightened(recorded, DESK, live_orders_max=7)

    found = Replay(log_of(traded), limits_of=other).run()

    loaded = next(one.seq for one in scan(log_of(traded)) if one.is_json and b"SnapshotLoaded" in one.entry)
    assert found.difference is not None
    assert found.difference.seq == loaded
    assert found.difference.word.endswith("limits.live_orders_max")
    assert found.difference.recomputed == "7"


def test_the_same_rule_book_compiled_anew_recomputes(traded: Rig) -> None:
    found = Replay(log_of(traded), limits_of=dataclasses.replace).run()

    assert found.difference is None


@pytest.mark.case("GATE-126")
def test_every_decision_recomputes_under_the_version_that_it_names(rig: Rig) -> None:
    rig.buy()
    rig.restart(tightened(roomy_snapshot(version=2), DESK, order_quantity_lots_max=9))
    denied = rig.buy()
    rig.gate.close()

    found = replayed(rig)

    assert denied.codes == (DenialCode.ORDER_QUANTITY_ABOVE_LIMIT,)
    assert found.difference is None
    assert found.versions == (1, 2)
    assert found.decisions == {"ALLOWED": 1, "DENIED": 1}


def test_capacity_is_the_one_that_the_record_names(open_rig: OpenRig) -> None:
    """A full gate denies; decided again by a larger one, the order would pass and the record would seem wrong."""
    rig = open_rig()
    for _ in range(SMALL_CAPACITY.orders):
        rig.buy(1)
    assert rig.buy(1).codes == (DenialCode.CAPACITY_EXHAUSTED,)
    rig.gate.close()

    named = replayed(rig)
    larger = Replay(log_of(rig), capacity=Capacity()).run()

    assert named.difference is None
    assert larger.difference is not None


def test_altered_log_starts_no_gate(traded: Rig) -> None:
    seq = last_decision(traded)
    rewrite_word(log_of(traded), seq, record.WORD_MEASURED, 4_242)

    with pytest.raises(ChainBroken, match=rf"Record {seq} doesn't recompute: measured .* Don't start the gate\."):
        Gate.open(
            traded.gate.state.snapshot, directory=traded.directory, clock=traded.clock, capacity=SMALL_CAPACITY
        )


def test_decision_before_any_limits_is_refused(tmp_path: Path) -> None:
    log = write_log(tmp_path / "gate-0", 1)

    with pytest.raises(ChainBroken, match="Expected the limits before record"):
        Replay(log).run()


def test_logs_of_gates_are_found_from_the_journal_and_from_their_own_folder(traded: Rig) -> None:
    write_log(traded.directory / "journal" / "executor-0", 1, log="executor-0")

    assert gate_logs(traded.directory / "journal") == (log_of(traded),)
    assert gate_logs(log_of(traded)) == (log_of(traded),)


def test_log_of_another_program_is_no_gates(tmp_path: Path) -> None:
    log = write_log(tmp_path / "executor-0", 1, log="executor-0")

    with pytest.raises(InvalidRequest, match=r"Expected the log of a gate in .*, found executor-0"):
        gate_logs(log)
    with pytest.raises(InvalidRequest, match="found no segment"):
        gate_logs(tmp_path / "nothing")
