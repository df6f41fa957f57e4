"""What a replay was made of, and the report of what came of it: figures from the journals, or compared with them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from controlplane.domain.clock import NS_PER_S, ManualClock
from controlplane.domain.errors import QuantityMismatch
from controlplane.domain.ids import to_text
from controlplane.gate.embedded import EmbeddedGate
from controlplane.journal.writer import JournalWriter
from executor.engine.cost import from_records, storable
from executor.engine.events import ParentInstruction
from executor.engine.perform import Engine
from executor.engine.recovery import records_of
from executor.engine.state import MarketWork
from executor.marketdata.events import Fault
from executor.marketdata.readers.agreement import QuoteAgreement
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lobster import LobsterReader
from executor.marketdata.readers.recordings import Recording
from executor.orders.reconcile import reconcile
from executor.scenarios.proof import prove
from executor.simulation.exchange import Exchange

EXECUTOR_LOG, GATE_LOG = "executor-0", "gate-0"
DRAIN_NS_MAX = 120 * NS_PER_S


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What came of it, ready to be shown."""

    document: dict[str, object]
    faults: tuple[str, ...]
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """Everything that one replay is made of."""

    recording: Recording
    reader: BinanceReader | LobsterReader
    clock: ManualClock
    gate: EmbeddedGate
    journal: JournalWriter
    exchange: Exchange
    engine: Engine
    market: MarketWork
    agreement: QuoteAgreement
    watched_ns: int = 0
    parent_id: int = 0
    cut_offs: list[Fault] = field(default_factory=list)


def result_of(run: Run, state_directory: Path, instruction: ParentInstruction) -> ReplayResult:
    """Return the report, every figure of it from the journals or compared with them."""
    log = state_directory / "journal" / EXECUTOR_LOG
    proof = prove(log, state_directory / "journal" / GATE_LOG)
    work = run.engine.state.parents[run.parent_id]
    faults = list(proof.faults)
    try:
        reconcile(work.parent, [child.child for child in run.engine.state.children_of(work)])
    except QuantityMismatch as error:
        faults.append(str(error))
    recorded_lots = proof.executed_lots.get(to_text(run.parent_id), 0)
    if recorded_lots != work.parent.filled_lots:
        faults.append(
            f"The journal holds executions of {recorded_lots} lots, the parent counts {work.parent.filled_lots}."
        )
    if not work.is_finished:
        faults.append(
            f"Parent order {to_text(run.parent_id)} had not ended {DRAIN_NS_MAX // NS_PER_S} s after its horizon."
        )
    book, book_faults = _book_check(run)
    tca = next((entry["figures"] for entry in records_of(log) if entry["kind"] == "TcaComputed"), None)
    faults += book_faults + _tca_faults(run, log, tca)
    document: dict[str, object] = {
        "recording": {
            "name": run.recording.name,
            "choice": run.recording.choice,
            "files": [path.name for path in run.recording.files],
            **run.reader.report.as_dict(),
        },
        "order": _order_facts(run, instruction),
        "parent": _parent_facts(run),
        "children": proof.as_dict(),
        "feed": _feed_facts(run),
        "notices": _notices(run),
        "states": dict(sorted(_states(run).items())),
        "book": book,
        "tca": tca,
        "counts": dict(sorted(run.engine.state.counts.items())),
        "fingerprint": run.engine.state.fingerprint(),
        "faults": faults,
    }
    return ReplayResult(document, tuple(faults), tuple(_notices(run)))


def _feed_facts(run: Run) -> dict[str, object]:
    """Return what the guard of the feed thought of the recording."""
    guard = run.market.guard
    return {
        "state": guard.state.value,
        "faults": {kind.value: number for kind, number in sorted(guard.faults.items())},
        "withheld_events": guard.withheld_count,
        "cut_off": [
            {"kind": fault.kind.value, "receive_ns": str(fault.receive_ns), "sentence": fault.sentence}
            for fault in run.cut_offs
        ],
    }


def _notices(run: Run) -> list[str]:
    """Return sentences for whoever wonders why less was executed than was asked: what the recording did to the feed."""
    found = []
    for fault in run.cut_offs[:1]:
        others = f" and {len(run.cut_offs) - 1} times more" if len(run.cut_offs) > 1 else ""
        end = "it stayed cut off" if run.market.guard.fault is not None else "it was trusted again later"
        found.append(f"The feed was cut off{others}, nothing is sent on such prices, {end}: {fault.sentence}")
    return found


def _order_facts(run: Run, instruction: ParentInstruction) -> dict[str, object]:
    work = run.engine.state.parents[run.parent_id]
    instrument, route = run.recording.instrument, instruction.route
    return {
        "parent_id": to_text(run.parent_id),
        "instrument": instrument.name,
        "side": instruction.side.name.lower(),
        "quantity": str(instrument.quantity(instruction.quantity_lots)),
        "strategy": route.strategy,
        "desk": route.desk,
        "venue": route.venue,
        "parameters": dict(instruction.parameters),
        "start_ns": str(work.parent.start_ns),
        "end_ns": str(work.parent.end_ns),
    }


def _parent_facts(run: Run) -> dict[str, object]:
    parent, instrument = run.engine.state.parents[run.parent_id].parent, run.recording.instrument
    places = {
        "ordered": parent.quantity_lots,
        "filled": parent.filled_lots,
        "working": parent.working_lots,
        "in_flight": parent.in_flight_lots,
        "unplaced": parent.unplaced_lots,
        "cancelled": parent.cancelled_lots,
    }
    summed = sum(lots for place, lots in places.items() if place != "ordered")
    return {
        "state": parent.state.value,
        "lots": places,
        "quantity": {place: str(instrument.quantity(lots)) for place, lots in places.items()},
        "reconciles": summed == parent.quantity_lots + parent.excess_lots,
        "excess_lots": parent.excess_lots,
    }


def _states(run: Run) -> Counter[str]:
    work = run.engine.state.parents[run.parent_id]
    return Counter(child.child.state.value for child in run.engine.state.children_of(work))


def _book_check(run: Run) -> tuple[dict[str, object], list[str]]:
    """Return how the rebuilt book agrees with the recorded one, and what is wrong with it."""
    report = run.reader.report
    if isinstance(run.reader, LobsterReader):
        compared, differing, crossed = report.levels_compared, report.levels_differing, report.crossed_rows
        method = "every level that a row's book with the next message applied and the next row both show"
        facts: dict[str, object] = {"levels_revealed": report.levels_revealed}
    else:
        agreement = run.agreement.result()
        compared, differing, crossed = agreement.compared, agreement.mismatching, agreement.crossed
        method = agreement.method
        facts = {
            "compared_same_id": agreement.compared_same_id,
            "mismatching_same_id": agreement.mismatching_same_id,
            "undecided": agreement.undecided,
        }
    share = Decimal(differing) / Decimal(compared) if compared else Decimal(0)
    found = {
        "method": method,
        "compared": compared,
        "mismatching": differing,
        "mismatch_share": str(share.quantize(Decimal("0.000001"))),
        "crossed": crossed,
        **facts,
    }
    faults = (
        [f"The rebuilt book was crossed or locked {crossed} times; the recording or its reader is wrong."]
        if crossed
        else []
    )
    if isinstance(run.reader, LobsterReader) and differing:
        faults.append(f"{differing} of {compared} levels of the rebuilt book differ from the order book file.")
    return found, faults


def _tca_faults(run: Run, log: Path, tca: object) -> list[str]:
    """Return what contradicts the recorded shortfall when it is reckoned again from the records alone."""
    if not isinstance(tca, Mapping):
        return ["The journal holds no shortfall of the parent order."]
    if "not_computed" in tca:
        return []
    again = storable(from_records(records_of(log), run.parent_id, run.recording.instrument).as_json())
    is_same = all(again[name] == tca[name] for name in ("total", "parts", "trading", "filled_lots", "notional"))
    if not is_same or not isinstance(tca["sums"], Mapping) or not all(tca["sums"].values()):
        return ["The shortfall reckoned from the records differs from the recorded one, or its parts don't add up."]
    return []
