"""The gate as a real process: what its neighbours see when it starts, is killed, is stopped, and starts again."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode, Verdict
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import OrderCommand
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.client import GateClient
from controlplane.gate.permit import verify
from controlplane.gate.switch import Switch
from controlplane.journal.reader import scan
from controlplane.journal.record import FLAG_JSON, decode_json
from controlplane.journal.verify import verify as verify_log
from tests.support.gate_process import Trader, eventually
from tests.support.policies import small_files, write_files
from tests.support.programs import Machine, machine, one_sentence

pytestmark = pytest.mark.xdist_group("gate-process")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Machine]:
    """A machine with the small rule book and nothing running."""
    policies = write_files(tmp_path / "policies", small_files())
    with machine(tmp_path / "state", {"CONTROLPLANE_POLICY_DIRECTORY": str(policies)}) as made:
        yield made


def trade(place: Machine, count: int) -> tuple[Trader, list[tuple[OrderCommand, Verdict]]]:
    trader = Trader.start(GateClient.connect(place.socket_path, program=1, seconds_max=5))
    orders = [trader.order() for _ in range(count)]
    return trader, [(order, trader.client.decide(order)) for order in orders]


def kinds_in(place: Machine) -> list[str]:
    return [str(decode_json(found.entry)["kind"]) for found in scan(place.gate_journal) if found.flags & FLAG_JSON]


@pytest.mark.case("EVIDENCE-2")
def test_killed_gate_forgets_no_allowed_order_and_its_old_permits_are_void(place: Machine) -> None:
    gate = place.start_gate()
    trader, decided = trade(place, 20)
    assert all(verdict.is_allowed for _order, verdict in decided)

    gate.process.kill()
    gate.process.wait()
    while_away = trader.client.decide(trader.order())
    place.start_gate()
    time.sleep(0.15)
    again = trader.client.decide(trader.order())

    assert while_away.codes == (DenialCode.GATE_UNAVAILABLE,)
    assert again.is_allowed or again.codes[0] not in (DenialCode.GATE_UNAVAILABLE, DenialCode.GATE_KILLED)
    live = {order.child_id for order in trader.client.working()}
    assert {order.child_id for order, _verdict in decided} <= live
    order, verdict = decided[0]
    assert verdict.permit is not None
    with pytest.raises(PermitInvalid, match="run 2"):
        verify(
            verdict.permit,
            order,
            key=trader.client.permit_key(),
            fence=trader.client.fence(),
            now_ns=verdict.permit.expiry_ns,
        )
    assert verify_log(place.gate_journal).is_sound


@pytest.mark.case("EVIDENCE-54")
def test_order_whose_sending_is_unknown_counts_as_live_after_a_kill_until_the_venue_answers(place: Machine) -> None:
    gate = place.start_gate()
    trader, decided = trade(place, 2)
    (lost, _), (kept, _) = decided
    trader.client.report(VenueReport(ReportKind.SEND_UNKNOWN, lost.child_id))
    trader.client.report(VenueReport(ReportKind.SENT, kept.child_id))
    assert trader.client.flush(5)

    gate.process.kill()
    gate.process.wait()
    place.start_gate()
    time.sleep(0.15)

    states = {order.child_id: order.state for order in trader.client.working()}
    assert states == {lost.child_id: "unknown", kept.child_id: "sent"}
    trader.client.report(VenueReport(ReportKind.REJECTED, lost.child_id))
    assert trader.client.flush(5)
    assert [order.child_id for order in trader.client.working()] == [kept.child_id]


def test_clean_end_closes_the_log_and_leaves_no_socket(place: Machine) -> None:
    gate = place.start_gate()

    assert gate.end(signal.SIGTERM) == 0

    assert kinds_in(place)[-1] == "LogClosed"
    assert not place.socket_path.exists()
    assert verify_log(place.gate_journal).is_sound


@pytest.mark.case("EVIDENCE-16")
def test_second_gate_ends_with_one_sentence_and_the_first_goes_on(place: Machine) -> None:
    gate = place.start_gate()

    second = place.run("gate")

    assert second.returncode == 1
    assert one_sentence(second.stderr)
    assert f"process {gate.process.pid}" in second.stderr
    assert place.is_gate_answering()


@pytest.mark.case("GATE-84")
@pytest.mark.case("GATE-88")
def test_signal_kills_and_the_next_start_comes_up_killed(place: Machine) -> None:
    gate = place.start_gate()
    trader, decided = trade(place, 1)
    assert decided[0][1].is_allowed

    gate.process.send_signal(signal.SIGUSR1)
    eventually(trader.client.is_killed)
    assert trader.client.decide(trader.order()).codes[0] is DenialCode.GATE_KILLED
    assert gate.end() == 0
    again = place.start_gate()

    assert "KILLED" in again.output()
    assert place.control().control("status")["state"] == "KILLED"
    assert "MachineKilled" in kinds_in(place)


@pytest.mark.case("EVIDENCE-63")
def test_gate_with_a_record_and_without_a_switch_comes_up_killed(place: Machine) -> None:
    place.start_gate().end()
    (place.gate_directory / "switch").unlink()

    place.start_gate()

    assert place.control().control("status")["state"] == "KILLED"
    assert not Switch.open(place.gate_directory).is_armed()


@pytest.mark.case("GATE-124")
@pytest.mark.parametrize("damage", ["missing file", "hole", "half written"])
def test_policies_with_a_fault_stop_the_start_with_a_sentence(place: Machine, damage: str) -> None:
    policies = Path(place.environment["CONTROLPLANE_POLICY_DIRECTORY"])
    firm = policies / "limits" / "firm.toml"
    changed = {"missing file": None, "hole": b"", "half written": firm.read_bytes()[:40]}[damage]
    firm.unlink()
    if changed is not None:
        firm.write_bytes(changed)

    done = place.run("gate")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "firm.toml" in done.stderr
    assert not place.gate_journal.exists()


@pytest.mark.case("EVIDENCE-6")
def test_damaged_record_stops_the_start_with_a_sentence(place: Machine) -> None:
    place.start_gate()
    trade(place, 5)
    place.programs[0].end()
    segment = min(place.gate_journal.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[4096 + 400] ^= 1
    segment.write_bytes(content)

    done = place.run("gate")

    assert done.returncode == 4
    assert one_sentence(done.stderr)


def test_state_directory_that_cannot_be_written_is_told_in_one_sentence(place: Machine) -> None:
    shutil.rmtree(place.state_directory)
    place.state_directory.write_text("a file stands where the folder should be")

    done = place.run("gate")

    assert done.returncode in (1, 3)
    assert one_sentence(done.stderr)
    place.state_directory.unlink()
