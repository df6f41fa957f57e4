"""One parent order against one recorded market, in one process: `executor replay`.

An embedded gate with the shipped limits, its journal, the executor's journal, a simulated venue that matches against
the recorded book, and the engine, all on a clock that the recording moves. At the end everything is checked from the
journals, and a run that doesn't reconcile fails.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from pathlib import Path

from controlplane.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from controlplane.domain.errors import FeedUnavailable, InvalidRequest
from controlplane.gate.embedded import EmbeddedGate
from controlplane.journal.writer import MIB, JournalWriter
from controlplane.runtime.settings import Durability
from executor.engine.events import ParentInstruction, TimePassed
from executor.engine.perform import Engine
from executor.engine.ports import Ports
from executor.engine.state import EngineState, MarketWork
from executor.intake.rest import accept_parent
from executor.marketdata.events import Fault, Remedy
from executor.marketdata.readers.agreement import QuoteAgreement
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lines import Unreadable, numbered_lines
from executor.marketdata.readers.lobster import LobsterReader
from executor.marketdata.readers.recordings import Recording, find
from executor.scenarios.in_process import InProcessLink
from executor.scenarios.replayed import DRAIN_NS_MAX, EXECUTOR_LOG, ReplayResult, Run, result_of
from executor.scenarios.rule_book import RuleBook
from executor.simulation.exchange import Exchange
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.replay import Replay, Step
from executor.venues.simulated import SimulatedVenue

WATCH_NS = 100 * NS_PER_MS
WARM_UP_NS = NS_PER_S
END_MARGIN_NS = 5 * NS_PER_S
DRAIN_STEP_NS = 100 * NS_PER_MS
CUT_OFFS_TOLD_MAX = 20
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
    result = result_of(run, state_directory, instruction)
    return replace(result, document=result.document | spent)


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
            f"Expected the recording {reader.feed} to begin and end with a time, found "
            f"{begin[:30].decode(errors='replace')!r} and {end[:30].decode(errors='replace')!r}; get the file again."
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
) -> Run:
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
    state = EngineState(instruments={instrument.name: instrument}, volume_curves=rule_book.volume_curves)
    market = MarketWork(guard=replayed.guards[reader.feed], venue=venue, is_admitted=True)
    state.markets[instrument.name] = market
    engine = Engine(state, Ports(journal=journal, gate=gate, venues={venue: adapter}))
    return Run(recording, reader, clock, gate, journal, exchange, engine, market, QuoteAgreement(recording.name))


def _play(
    run: Run,
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
        if isinstance(item, Fault):
            if item.remedy is not Remedy.WITHHOLD and len(run.cut_offs) < CUT_OFFS_TOLD_MAX:
                run.cut_offs.append(item)
        else:
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


def _live_until(run: Run, until_ns: int) -> None:
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


def _drain(run: Run) -> None:
    """Let time pass after the last event until the parent has ended and nothing is under way.

    A feed that was cut off ends long before the recording does, and the parent's horizon with it.
    """
    end_ns = max(run.clock.now_ns, run.engine.state.parents[run.parent_id].parent.end_ns)
    _live_until(run, end_ns)
    run.clock.advance_to(end_ns)
    last_ns = end_ns + DRAIN_NS_MAX
    while run.engine.state.active_parents and run.clock.now_ns < last_ns:
        _live_until(run, run.clock.now_ns + DRAIN_STEP_NS)
        run.clock.advance_to(run.clock.now_ns + DRAIN_STEP_NS)
        run.engine.beat(run.clock.now_ns)
