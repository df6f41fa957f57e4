"""Time, limits that change, and a journal that fails: nothing is released early, nothing leaves unrecorded."""

import dataclasses
import errno

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import JournalUnavailable, PermitInvalid, PolicyInvalid
from controlplane.domain.reports import ReportKind
from controlplane.gate.permit import verify
from controlplane.journal.files.blobs import document
from controlplane.journal.files.segment import SystemDisk
from controlplane.journal.reader import batches
from controlplane.policy.load import parse_policies
from controlplane.runtime.settings import Durability
from tests.support.builders import PRICE, phase, rate, roomy_snapshot, scope_names, tightened, volume
from tests.support.journal import FailingDisk
from tests.support.policies import contents_of, small_files, toml_text, without
from tests.support.rig import OpenRig, Rig

DESK, STRATEGY = "desk:crypto", "strategy:crypto/twap"
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
MESSAGE_WINDOW_NS = 10 * SECOND


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-121")
def test_wall_clock_set_back_releases_nothing_of_a_window(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, message_count_max=1))
    assert rig.buy(1).is_allowed

    rig.clock.step_wall(-HOUR)
    rig.open_market()
    at_once = rig.buy(1)
    rig.clock.advance(MESSAGE_WINDOW_NS + SECOND)
    rig.open_market()
    after_the_window = rig.buy(1)

    assert DenialCode.MESSAGE_RATE_ABOVE_LIMIT in at_once.codes
    assert DenialCode.MESSAGE_RATE_ABOVE_LIMIT not in after_the_window.codes


@pytest.mark.case("GATE-121")
def test_wall_clock_set_back_makes_no_observation_fresh(rig: Rig) -> None:
    """What was stated an hour ahead of the clock is as doubtful as what was stated an hour ago."""
    rig.clock.step_wall(-HOUR)

    verdict = rig.buy()

    assert verdict.codes == (
        DenialCode.PHASE_UNKNOWN,
        DenialCode.REFERENCE_STALE,
        DenialCode.PARTICIPATION_UNKNOWN,
    )


@pytest.mark.case("GATE-121")
def test_market_stated_again_after_the_wall_clock_was_set_back_counts(rig: Rig) -> None:
    rig.clock.step_wall(-SECOND)
    rig.gate.observe(phase(at_ns=rig.clock.wall))
    rig.gate.observe(volume(at_ns=rig.clock.wall))

    assert rig.buy().is_allowed


@pytest.mark.case("GATE-122")
def test_wall_clock_leaping_ahead_rolls_no_day_and_frees_no_window(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), DESK, message_count_max=1, daily_loss_micro_max=100 * 10 * 100)
    rig = open_rig(tightened(limits, STRATEGY, message_count_max=1))
    rig.hold(10)
    rig.quote(PRICE - 60, PRICE - 58)

    rig.clock.step_wall(48 * HOUR)
    rig.open_market(price=PRICE - 59)
    rig.gate.pass_time()

    assert rig.used("daily_loss", DESK) == 60 * 10 * 100
    assert rig.buy(1).codes == (DenialCode.MESSAGE_RATE_ABOVE_LIMIT,)


@pytest.mark.case("GATE-122")
def test_permits_on_their_way_expire_at_a_leap_and_their_orders_stay_reserved_until_reported(rig: Rig) -> None:
    verdict = rig.buy()
    order = rig.orders[rig.last]
    assert verdict.permit is not None

    rig.clock.step_wall(HOUR)

    with pytest.raises(PermitInvalid, match="expired"):
        verify(verdict.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)
    assert rig.reserved(order.child_id) == 10
    rig.tell(ReportKind.NOT_SENT, order.child_id)
    assert rig.gate.working() == []


@pytest.mark.case("GATE-122")
def test_limits_that_have_expired_let_nothing_but_cancels_pass(rig: Rig) -> None:
    child = rig.work()
    expires_ns = rig.gate.state.snapshot.expires_ns
    rig.clock.step_wall(expires_ns - rig.clock.wall - 1)
    rig.open_market()
    last_moment = rig.buy()

    rig.clock.advance(1)

    assert last_moment.is_allowed
    assert rig.buy().codes == (DenialCode.SNAPSHOT_EXPIRED,)
    assert rig.cancel(child).is_allowed


@pytest.mark.case("GATE-121")
def test_steady_time_goes_on_over_a_restart_even_where_the_wall_clock_went_back(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, message_count_max=1))
    assert rig.buy(1).is_allowed
    rig.clock.step_wall(-HOUR)
    rig.clock.steady = 5  # another boot of the machine

    rig.restart()
    rig.open_market()

    assert DenialCode.MESSAGE_RATE_ABOVE_LIMIT in rig.buy(1).codes


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize("scope", scope_names())
def test_limits_without_a_scope_that_an_order_can_reach_refuse_to_load(open_rig: OpenRig, scope: str) -> None:
    snapshot = roomy_snapshot()
    with_hole = dataclasses.replace(snapshot, nodes=tuple(node for node in snapshot.nodes if str(node.scope) != scope))

    with pytest.raises(PolicyInvalid, match=f"no entry for {scope}"):
        open_rig(with_hole)


@pytest.mark.case("GATE-125")
def test_scope_without_a_line_for_an_instrument_permits_none_of_it(open_rig: OpenRig) -> None:
    snapshot = roomy_snapshot()
    nodes = tuple(
        dataclasses.replace(node, instrument_limits=()) if str(node.scope) == DESK else node for node in snapshot.nodes
    )
    rig = open_rig(dataclasses.replace(snapshot, nodes=nodes))

    verdict = rig.buy(1)

    assert verdict.codes == (
        DenialCode.ORDER_QUANTITY_ABOVE_LIMIT,
        DenialCode.POSITION_ABOVE_LIMIT,
        DenialCode.PARTICIPATION_ABOVE_LIMIT,
    )
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.limit) == (DESK, 0)


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize(
    "path", [("desks", "crypto", "order_notional_max"), ("desks", "crypto", "instruments"), ("desks", "crypto")]
)
def test_policy_with_a_missing_level_refuses_to_load(path: tuple[str, ...]) -> None:
    contents = without(contents_of(small_files()), "limits/desks.toml", path)

    with pytest.raises(PolicyInvalid):
        parse_policies({name: toml_text(content).encode() for name, content in contents.items()})


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize("missing", ["instruments", "rates", "calendars"])
def test_limits_without_what_an_order_needs_to_be_judged_refuse_to_load(open_rig: OpenRig, missing: str) -> None:
    with pytest.raises(PolicyInvalid):
        open_rig(dataclasses.replace(roomy_snapshot(), **{missing: ()}))


def decided_versions(rig: Rig) -> list[tuple[int, int]]:
    """Return (version of the limits, outcome) of every recorded decision of a gate's journal."""
    found = []
    for batch in batches(rig.directory / "journal" / "gate-0"):
        _, entries = batch.binary()
        found += [(int(entry[16]), int(entry[0]) >> 16 & 0xFFFF) for entry in entries if entry[0] & 0xFF == 1]
    return found


@pytest.mark.case("GATE-126")
def test_each_decision_names_the_one_version_of_the_limits_it_was_made_under(rig: Rig) -> None:
    verdicts = [rig.buy(1), rig.buy(1)]
    rig.restart(tightened(roomy_snapshot(version=2), DESK, live_orders_max=2))
    rig.open_market()
    verdicts.append(rig.buy(1))
    rig.restart(roomy_snapshot(version=3))
    rig.open_market()
    verdicts.append(rig.buy(1))

    assert [(verdict.snapshot_version, verdict.is_allowed) for verdict in verdicts] == [
        (1, True), (1, True), (2, False), (3, True),
    ]  # fmt: skip
    assert decided_versions(rig) == [(1, 1), (1, 1), (2, 2), (3, 1)]


@pytest.mark.case("GATE-126")
def test_record_recomputes_over_changes_of_limits_positions_stops_and_losses(rig: Rig) -> None:
    """Each start recomputes the whole record and refuses a difference; here with everything in it that can happen."""
    rig.gate.observe(rate())
    rig.hold(10)
    child = rig.work(lots=5)
    rig.amend(child, quantity_lots=7)
    rig.stop(STRATEGY, "PAUSED")
    rig.restart(tightened(roomy_snapshot(version=2), DESK, daily_loss_micro_max=1_000))
    rig.clock.advance(SECOND)
    rig.open_market(price=PRICE - 1_000)
    rig.lift(STRATEGY, second=None)
    rig.fill(0x99999900, 3, route=0, side=1)
    rig.gate.pass_time()
    rig.roll_day()
    rig.restart(roomy_snapshot(version=3), down_ns=HOUR)
    rig.tell(ReportKind.AMENDED, child, quantity_lots=7)
    before = rig.exposure(), rig.gate.working()

    rig.restart()

    assert (rig.exposure(), rig.gate.working()) == before


# --- journal ----------------------------------------------------------------------------------------------------------


def with_failing_disk(rig: Rig, operation: str, error: int) -> FailingDisk:
    """Let the gate's journal meet a disk whose operation fails from now on."""
    disk = FailingDisk(operation, error)
    rig.gate.writer._disk = disk
    return disk


@pytest.mark.case("GATE-129")
def test_record_that_does_not_reach_the_disk_lets_no_permit_out(open_rig: OpenRig) -> None:
    rig = open_rig(durability=Durability.DISK)
    with_failing_disk(rig, "sync_content", errno.EIO)

    with pytest.raises(JournalUnavailable, match="nothing more is written"):
        rig.buy(10)
    with pytest.raises(JournalUnavailable):
        rig.buy(10)


@pytest.mark.case("GATE-129")
def test_decision_whose_permit_never_left_counts_as_live_after_the_restart(open_rig: OpenRig) -> None:
    rig = open_rig(durability=Durability.DISK)
    with_failing_disk(rig, "sync_content", errno.EIO)
    with pytest.raises(JournalUnavailable):
        rig.buy(10)

    with pytest.raises(JournalUnavailable):
        rig.gate.decide(rig.orders[rig.last])
    rig.gate.writer._disk = SystemDisk()
    rig.restart()

    assert [order.reserved_lots for order in rig.gate.working()] == [10]


def fill_the_journal(rig: Rig) -> int:
    """Return how many orders were allowed before the journal failed."""
    for allowed in range(2_000):
        try:
            rig.buy(1)
            rig.tell(ReportKind.NOT_SENT, rig.last)
        except JournalUnavailable:
            return allowed
    pytest.fail("the journal never filled")


@pytest.mark.case("GATE-129")
def test_full_disk_decides_nothing_and_loses_nothing(rig: Rig) -> None:
    with_failing_disk(rig, "allocate", errno.ENOSPC)
    allowed = fill_the_journal(rig)
    records = rig.gate.writer.next_seq

    for _ in range(3):
        with pytest.raises(JournalUnavailable, match="No space left on device"):
            rig.buy(1)
    recorded_meanwhile = rig.gate.writer.next_seq - records
    rig.gate.writer._disk = SystemDisk()
    rig.restart()
    rig.open_market()

    assert allowed > 100
    assert recorded_meanwhile == 0
    assert sum(outcome == 1 for _, outcome in decided_versions(rig)) in (allowed, allowed + 1)
    assert rig.buy(1).is_allowed


@pytest.mark.case("GATE-83")
def test_kill_on_a_full_disk_works_and_is_recorded_in_the_space_kept_for_it(rig: Rig) -> None:
    with_failing_disk(rig, "allocate", errno.ENOSPC)
    fill_the_journal(rig)
    rig.gate.writer._disk = SystemDisk()  # giving the ballast up makes room for a small segment

    answer = rig.gate.control("kill", {"reason": "disk is full", "by": "olga"})

    assert rig.gate.is_killed()
    assert answer["fence"] == rig.gate.fence()
    rig.restart()
    rig.open_market()
    assert rig.buy(1).codes == (DenialCode.GATE_KILLED,)
    assert kills_recorded(rig) == ["disk is full"]


def kills_recorded(rig: Rig) -> list[str]:
    """Return the reasons of every kill in a gate's journal."""
    found = []
    directory = rig.directory / "journal" / "gate-0"
    for batch in batches(directory):
        for index in range(len(batch.flags)):
            if batch.flags[index]:
                start = int(batch.offsets[index]) + 24
                entry = document(directory, batch.chunk[start : start + int(batch.lengths[index])].tobytes())
                if entry["kind"] == "MachineKilled":
                    found.append(str(entry["reason"]))
    return found
