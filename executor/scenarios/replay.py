"""One parent order against one recorded market, in one process: `executor replay`.

An embedded gate with the shipped limits, its journal, the executor's journal, a simulated venue that matches against
the recorded book, and the engine, all on a clock that the recording moves. At the end everything is checked from the
journals, and a run that doesn't reconcile fails.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from pathlib import Path

from controlplane.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from controlplane.domain.errors import FeedUnavailable, InvalidRequest, QuantityMismatch
from controlplane.domain.ids import to_text
from controlplane.gate.embedded import EmbeddedGate
from controlplane.journal.writer import MIB, JournalWriter
from controlplane.runtime.settings import Durability
from executor.engine.cost import from_records, storable
from executor.engine.events import ParentInstruction, TimePassed
from executor.engine.perform import Engine
from executor.engine.ports import Ports
from executor.engine.recovery import records_of
from executor.engine.state import EngineState, MarketWork
from executor.intake.rest import accept_parent
from executor.marketdata.events import Fault
from executor.marketdata.readers.agreement import QuoteAgreement
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lines import Unreadable, numbered_lines
from executor.marketdata.readers.lobster import LobsterReader
from executor.marketdata.readers.recordings import Recording, find
from executor.orders.reconcile import reconcile
from executor.scenarios.in_process import InProcessLink
from executor.scenarios.proof import prove
from executor.scenarios.rule_book import RuleBook
from executor.simulation.exchange import Exchange
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.replay import Replay, Step
from executor.venues.simulated import SimulatedVenue

EXECUTOR_LOG, GATE_LOG = "executor-0", "gate-0"
WATCH_NS = 100 * NS_PER_MS
WARM_UP_NS = NS_PER_S
END_MARGIN_NS = 5 * NS_PER_S
DRAIN_NS_MAX = 120 * NS_PER_S
DRAIN_STEP_NS = 100 * NS_PER_MS
PROGRESS_EVERY = 2_000
SEGMENT_BYTES = 16 * MIB

# Modest delays of a program in the venue's region; what the recording itself was delayed by is in its receive times.
LATENCY = LatencyModel(feed_ns=NS_PER_MS, entry=Delay(2 * NS_PER_MS, 0.3), response=Delay(2 * NS_PER_MS, 0.3))

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What to replay: an order as a person gives it, and the market to give it to.

    Fields
        fields       fields of the parent order for `accept_parent`, without the instrument
        minutes      horizon; None for as long as the recording lasts
        seed         of the venue's delays
    """

    data_directory: Path
    instrument: str
    fields: Mapping[str, object]
    recording: str | None = None
    minutes: Decimal | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What came of it, ready to be shown."""

    document: dict[str, object]
    faults: tuple[str, ...]


@dataclass(slots=True)
class _Run:
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


def run_replay(order: ReplayOrder, rule_book: RuleBook, state_directory: Path, progress: Progress) -> ReplayResult:
    """Return the report of one replay; its `faults` say what didn't reconcile.

    Errors
        FeedUnavailable, UnknownReference  there is no such recording, instrument or route
        InvalidRequest                     the order is malformed, or the state folder holds an earlier run
    """
    found = find(order.data_directory, order.instrument, order.recording)
    recording = replace(found, instrument=rule_book.listed(found))
    instruction = accept_parent(
        {**order.fields, "instrument": recording.instrument.name},
        rule_book.intake_rules(order.minutes or Decimal(10)),
    )
    if (state_directory / "journal").exists():
        raise InvalidRequest(
            f"Expected an empty state folder, found an earlier run in {state_directory}; name another --state.",
            field="state",
        )
    reader = recording.open()
    length_ns = recorded_length_ns(reader)
    replayed = Replay([reader])
    steps = iter(replayed)
    first = next(steps, None)
    if first is None:
        raise FeedUnavailable(f"The recording {recording.name} holds no event; name another with --recording.")
    run = _assemble(recording, reader, replayed, rule_book, state_directory, instruction, first[0], order.seed)
    started, started_cpu = time.perf_counter(), time.process_time()
    try:
        _play(run, chain((first,), steps), instruction, order.minutes, first[0] + length_ns, progress)
        _drain(run)
    finally:
        run.journal.close()
        run.gate.close()
    progress(1.0)
    spent = {
        "wall_seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time() - started_cpu, 3),
    }
    result = _result(run, state_directory, instruction)
    return ReplayResult(result.document | spent, result.faults)


def recorded_length_ns(reader: BinanceReader | LobsterReader) -> int:
    """Return how long a recording lasts by its own clock, from its first and last lines alone.

    Errors
        FeedUnavailable when a file can't be read that far
    """
    first = last = b""
    try:
        for path in (reader.message_file,) if isinstance(reader, LobsterReader) else reader.files:
            for _, line in numbered_lines(path):
                first = first or line
                last = line
    except Unreadable:
        # The reader will say where the file breaks; here the time up to there is what counts.
        pass
    separator = b"," if isinstance(reader, LobsterReader) else b" "
    begin, end = (line.partition(separator)[0] for line in (first, last))
    try:
        if isinstance(reader, LobsterReader):
            return int((Decimal(end.decode()) - Decimal(begin.decode())) * NS_PER_S)
        return (int(end) - int(begin)) * {19: 1, 16: 1_000, 13: 1_000_000}[len(begin)]
    except (ValueError, ArithmeticError, KeyError):
        raise FeedUnavailable(
            f"Expected the recording {reader.feed} to begin and end with a time, found {begin[:30]!r} and {end[:30]!r}."
        ) from None


def _assemble(
    recording: Recording,
    reader: BinanceReader | LobsterReader,
    replayed: Replay,
    rule_book: RuleBook,
    state_directory: Path,
    instruction: ParentInstruction,
    begin_ns: int,
    seed: int,
) -> _Run:
    """Return the parts of a run, wired together, on a clock that stands at the first event.

    The gate is asked to let time pass once, which loads its compiled code: that is no part of the time a replay takes.
    """
    clock = ManualClock(begin_ns)
    instrument, venue = recording.instrument, instruction.route.venue
    gate = EmbeddedGate.open(
        rule_book.snapshot(begin_ns), directory=state_directory, clock=clock, segment_bytes=SEGMENT_BYTES
    )
    gate.pass_time()
    journal = JournalWriter.open(
        state_directory / "journal" / EXECUTOR_LOG,
        log=EXECUTOR_LOG,
        durability=Durability.PROCESS,
        clock=clock,
        segment_bytes=SEGMENT_BYTES,
        ballast_bytes=0,
    )
    exchange = Exchange(
        [instrument], latency=LATENCY, fees=rule_book.fees(venue), seed=seed, rates_micro=rule_book.rates_micro()
    )
    adapter = SimulatedVenue(
        venue,
        link=InProcessLink(exchange, clock),
        instrument_of=lambda _route: instrument.name,
        authority=gate,
        clock=clock,
    )
    state = EngineState(instruments={instrument.name: instrument})
    market = MarketWork(guard=replayed.guards[reader.feed], venue=venue, is_admitted=True)
    state.markets[instrument.name] = market
    engine = Engine(state, Ports(journal=journal, gate=gate, venues={venue: adapter}))
    return _Run(recording, reader, clock, gate, journal, exchange, engine, market, QuoteAgreement(recording.name))


def _play(
    run: _Run,
    steps: Iterator[Step],
    instruction: ParentInstruction,
    minutes: Decimal | None,
    end_ns: int,
    progress: Progress,
) -> None:
    """Play the recording from its first event to its last; the parent order is handed in once the book stands."""
    begin_ns = run.clock.now_ns
    for number, (now_ns, item) in enumerate(steps):
        _live_until(run, now_ns)
        run.clock.advance_to(now_ns)
        if not isinstance(item, Fault):
            run.exchange.on_event(item)
            run.agreement.on_event(item, run.market.guard.book)
        run.engine.handle(item, now_ns)
        if now_ns - run.watched_ns >= WATCH_NS:
            run.watched_ns = now_ns
            run.engine.watch_gate(now_ns)
        if not run.parent_id and run.market.is_usable and now_ns - begin_ns >= WARM_UP_NS:
            horizon_ns = instruction.horizon_ns if minutes is not None else end_ns - now_ns - END_MARGIN_NS
            run.parent_id = run.engine.accept(replace(instruction, horizon_ns=max(horizon_ns, NS_PER_S)), now_ns)
        if number % PROGRESS_EVERY == 0:
            progress(min((now_ns - begin_ns) / max(end_ns - begin_ns, 1), 0.99))
    if not run.parent_id:
        raise FeedUnavailable(
            f"The recording {run.recording.name} showed no sound book after {WARM_UP_NS // NS_PER_S} s; name another."
        )


def _live_until(run: _Run, until_ns: int) -> None:
    """Let everything happen that is due before a moment: reports that arrive, orders that act, decisions."""
    while True:
        due_ns = min(run.exchange.next_ns() or until_ns, run.engine.state.due_ns)
        if due_ns >= until_ns:
            return
        run.clock.advance_to(due_ns)
        for adapter in run.engine.ports.venues.values():
            for message in adapter.poll():
                run.engine.handle(message, run.clock.now_ns)
        run.engine.handle(TimePassed(), run.clock.now_ns)
        if run.engine.state.due_ns <= due_ns and (run.exchange.next_ns() or until_ns) <= due_ns:
            return


def _drain(run: _Run) -> None:
    """Let time pass after the last event until the parent has ended and nothing is under way."""
    last_ns = run.clock.now_ns + DRAIN_NS_MAX
    while run.engine.state.active_parents and run.clock.now_ns < last_ns:
        _live_until(run, run.clock.now_ns + DRAIN_STEP_NS)
        run.clock.advance_to(run.clock.now_ns + DRAIN_STEP_NS)
        run.engine.beat(run.clock.now_ns)


def _result(run: _Run, state_directory: Path, instruction: ParentInstruction) -> ReplayResult:
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
            f"Parent order {to_text(run.parent_id)} had not ended {DRAIN_NS_MAX // NS_PER_S} s after the recording."
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
        "states": dict(sorted(_states(run).items())),
        "book": book,
        "tca": tca,
        "counts": dict(sorted(run.engine.state.counts.items())),
        "fingerprint": run.engine.state.fingerprint(),
        "faults": faults,
    }
    return ReplayResult(document, tuple(faults))


def _order_facts(run: _Run, instruction: ParentInstruction) -> dict[str, object]:
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


def _parent_facts(run: _Run) -> dict[str, object]:
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


def _states(run: _Run) -> Counter[str]:
    work = run.engine.state.parents[run.parent_id]
    return Counter(child.child.state.value for child in run.engine.state.children_of(work))


def _book_check(run: _Run) -> tuple[dict[str, object], list[str]]:
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


def _tca_faults(run: _Run, log: Path, tca: object) -> list[str]:
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
