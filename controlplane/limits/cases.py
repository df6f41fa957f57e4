"""Runs the cases beside a rule book: does each order that must pass pass, and each that must not get its denial?

A case is run on the compiled gate in memory, from an empty book and under the rule book as it is. It expects exactly
every failed check, the scope that decided, and the largest quantity that would pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from controlplane.domain.decisions import Outcome, codes_of
from controlplane.domain.errors import InvalidRequest, UnknownReference
from controlplane.domain.instruments import Instrument
from controlplane.domain.observations import (
    Phase,
    PhaseObserved,
    RateObserved,
    ReferenceObserved,
    ReferenceSource,
    VolumeObserved,
)
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.quantities import QUANTITY_LOTS_CAP, to_micro
from controlplane.domain.reports import ReportKind, VenueReport, reason_of
from controlplane.domain.scopes import FIRM, SCOPE_KINDS, Level, Route
from controlplane.gate import words as w
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.replay import Machine
from controlplane.gate.snapshot import Snapshot
from controlplane.gate.verdict import explain
from controlplane.gate.words import Observation
from controlplane.journal import record
from controlplane.limits.kinds import KINDS
from controlplane.policy.cases import AmendStep, AskedOrder, Case, MarketState, OrderStep, QuoteStep, RouteNames

MS_NS = 1_000_000
ID_STEP = 256  # identifiers carry the number of their program in the low eight bits
BOOK_LOTS = 1_000
REASON = reason_of("the same reason each time")
CAPACITY = Capacity(orders=1 << 10, parents=1 << 4, requests=1 << 10, executions=1 << 12)

Words = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One case that was run; `problem` is empty when it holds, else one sentence."""

    file: str
    name: str
    limit: str
    expect: str
    problem: str


class CaseFails(Exception):
    """What a case expects isn't what happens; the message says both."""


def run_cases(snapshot: Snapshot, file: str, route: RouteNames, cases: Iterable[Case]) -> Iterator[Result]:
    """Yield the result of each case of a file.

    Arguments
        snapshot  the rule book, compiled for the moment at which the cases begin
    """
    machine = Machine(CAPACITY)
    empty = machine.load(snapshot).words.copy()
    for case in cases:
        machine.begin_again(empty)
        try:
            _Desk(machine, snapshot, route).check(case)
            problem = ""
        except (CaseFails, InvalidRequest, UnknownReference) as error:
            problem = f'{file}: case "{case.name}": {error}'
        yield Result(file, case.name, case.limit, case.expect, problem)


def uncovered(results: Sequence[Result]) -> list[str]:
    """Return one sentence for each kind of limit without a case that must pass, or without one that must not."""
    known = {kind.policy_key for kind in KINDS}
    shown = {(result.limit, result.expect) for result in results}
    missing = [
        f'{key} has no case that must {expect}; add one with limit = "{key}" to a file in cases/.'
        for key in dict.fromkeys(kind.policy_key for kind in KINDS)
        for expect in ("allow", "deny")
        if (key, expect) not in shown
    ]
    strange = [
        f'{result.file}: case "{result.name}" shows {result.limit}, which is no key of a limit; correct it.'
        for result in results
        if result.limit not in known
    ]
    return [*strange, *missing]


class _Desk:
    """Somebody who trades one route on an empty book, step by step."""

    def __init__(self, machine: Machine, snapshot: Snapshot, names: RouteNames) -> None:
        self._machine, self._snapshot, self._names = machine, snapshot, names
        self._instruments = {rules.instrument.name: rules.instrument for rules in snapshot.instruments}
        self._now_ns = snapshot.created_ns
        self._last_id = self._last_execution = self._working = 0
        self._worked: AskedOrder | None = None
        self._parents: dict[tuple[int, Side], int] = {}
        self._market: dict[str, tuple[int, int]] = {}
        self._handles = machine.loaded().handles
        self._route = self._handles.route(
            Route(
                desk=names.strategy.rpartition("/")[0],
                strategy=names.strategy,
                model=f"{names.strategy}/{names.model}",
                instrument=names.instrument,
                venue=names.venue,
                counterparty=names.counterparty,
            )
        )

    def check(self, case: Case) -> None:
        """Return when the case holds; CaseFails says how it doesn't."""
        for currency, worth in case.rates.items():
            rate_micro = to_micro(worth, is_exposure=True)
            self._observe(RateObserved(currency, rate_micro, self._now_ns))
        for name, market in case.market.items():
            self._open(name, market)
        for number, step in enumerate(case.steps, start=1):
            try:
                self._take(step)
            except CaseFails as error:
                raise CaseFails(f"step {number} ({step.do}) must go through, and {error}") from None
        self._compare(case, self._ask(case.order))

    def _compare(self, case: Case, words: Words) -> None:
        is_allowed = _outcome(words) == Outcome.ALLOWED
        if case.expect == "allow":
            if not is_allowed:
                raise CaseFails(f"expected the order allowed, found it denied: {explain(words, self._handles)}")
            return
        wanted_codes = ", ".join(case.codes)
        if is_allowed:
            raise CaseFails(f"expected the order denied with {wanted_codes}, found it allowed; correct limit or case.")
        instrument = self._instruments[self._names.instrument]
        codes = codes_of(words[record.WORD_FAILED_CHECKS], words[record.WORD_FAILED_CHECKS_MORE])
        passing = instrument.quantity(words[record.WORD_LARGEST_PASSING_LOTS])
        for what, wanted, found in (
            ("the checks", wanted_codes, ", ".join(code.name for code in codes)),
            ("the scope", case.scope, self._scope_of(words)),
            ("the largest passing quantity", case.largest_passing, passing),
        ):
            if wanted != found:
                raise CaseFails(f"expected {what} {wanted}, found {found}: {explain(words, self._handles)}")
        if not any(kind.policy_key == case.limit and kind.code.name in case.codes for kind in KINDS):
            raise CaseFails(f"expected a denial that {case.limit} leads to, found {wanted_codes}; name its own limit.")

    def _scope_of(self, words: Words) -> str:
        kind, node = words[record.WORD_BINDING_SCOPE] & 0xFF, words[record.WORD_BINDING_SCOPE] >> 8
        if kind == Level.PARENT:
            return "parent"
        return self._handles.scopes[node] if kind < len(SCOPE_KINDS) else str(FIRM)

    # --- what happens before the order

    def _take(self, step: object) -> None:
        match step:
            case OrderStep():
                for number in range(step.times):
                    self._pass_time(step.every_ms if number else 0)
                    self._order_step(step, number)
            case AmendStep():
                for number in range(step.times):
                    self._pass_time(step.every_ms if number else 0)
                    self._amend_step(step)
            case QuoteStep():
                name = step.instrument
                source = ReferenceSource[step.source.upper().replace(" ", "_")]
                self._quote(name, self._ticks(name, step.bid), self._ticks(name, step.ask), source)
            case _:
                self._now_ns += getattr(step, "ms", 0) * MS_NS

    def _order_step(self, step: OrderStep, number: int) -> None:
        away = number * (step.price_step or 0)
        price = step.price - away if step.side == "buy" else step.price + away
        asked = AskedOrder.model_construct(
            kind="new", side=step.side, quantity=step.quantity, price=price, parent=step.parent
        )
        words = self._ask(asked)
        if step.do == "ask":
            return
        self._must_be_allowed(words)
        child = words[record.WORD_CHILD_ID]
        if step.do == "reject":
            self._report(ReportKind.REJECTED, child, reason=REASON)
            return
        self._report(ReportKind.ACKNOWLEDGED, child)
        if step.do == "expire":
            self._report(ReportKind.EXPIRED, child)
        elif step.do == "cancel":
            self._cancel(words)
            self._report(ReportKind.CANCELLED, child)
        elif step.do == "work":
            self._working, self._worked = child, asked
        else:
            self._last_execution += 1
            lots, ticks = words[record.WORD_QUANTITY_LOTS], words[record.WORD_PRICE_TICKS]
            self._report(ReportKind.FILLED, child, lots=lots, ticks=ticks, execution_id=self._last_execution)

    def _cancel(self, order: Words) -> None:
        """Ask for the cancel of an order, which always passes."""
        head = w.ORDER_DECIDED | CommandKind.CANCEL << 8 | w.SCHEMA
        child, route = order[record.WORD_CHILD_ID], order[record.WORD_ROUTE]
        self._tell((head, 0, 0, self._next_id(), child, 0, route, *[0] * 9))

    def _amend_step(self, step: AmendStep) -> None:
        if self._worked is None:
            raise CaseFails("no order works that could be amended; put a step that works one before it.")
        changes = {"kind": "amend", "quantity": step.quantity, "price": step.price}
        words = self._ask(self._worked.model_copy(update=changes))
        self._must_be_allowed(words)
        lots, ticks = words[record.WORD_QUANTITY_LOTS], words[record.WORD_PRICE_TICKS]
        self._report(ReportKind.AMENDED, self._working, lots=lots, ticks=ticks)

    def _must_be_allowed(self, words: Words) -> None:
        if _outcome(words) != Outcome.ALLOWED:
            raise CaseFails(f"is denied: {explain(words, self._handles)}")

    # --- the market and the clock

    def _open(self, name: str, market: MarketState) -> None:
        instrument = self._instrument(name)
        self._quote(name, self._ticks(name, market.bid), self._ticks(name, market.ask))
        lots = int(market.volume / instrument.lot_size)
        self._observe(PhaseObserved(name, Phase.CONTINUOUS, self._now_ns))
        self._observe(VolumeObserved(name, self._names.venue, lots, self._now_ns, self._now_ns))

    def _pass_time(self, ms: int) -> None:
        """Let time pass in a market that goes on as it was: everything is stated again, and nothing was traded."""
        if not ms:
            return
        self._now_ns += ms * MS_NS
        for name, (bid, ask) in self._market.items():
            self._quote(name, bid, ask)
            self._observe(PhaseObserved(name, Phase.CONTINUOUS, self._now_ns))
            self._observe(VolumeObserved(name, self._names.venue, 0, self._now_ns, self._now_ns))

    def _quote(self, name: str, bid: int, ask: int, source: ReferenceSource = ReferenceSource.BOOK) -> None:
        if source is ReferenceSource.BOOK:
            self._market[name] = bid, ask
        now = self._now_ns
        self._observe(ReferenceObserved(name, source, bid, ask, BOOK_LOTS, BOOK_LOTS, now, now))

    def _observe(self, observation: Observation) -> None:
        self._tell(w.observation_words(observation, self._handles))

    # --- orders

    def _ask(self, asked: AskedOrder) -> Words:
        instrument = self._instruments[self._names.instrument]
        side = Side.BUY if asked.side == "buy" else Side.SELL
        parent = self._parent(asked.parent, side)
        request = self._next_id()
        is_new = asked.kind == "new"
        return self._tell(
            w.command_words(
                OrderCommand(
                    kind=CommandKind.NEW if is_new else CommandKind.AMEND,
                    request_id=request,
                    child_id=request if is_new else self._working,
                    parent_id=parent,
                    route=self._route,
                    side=side,
                    order_type=OrderType.LIMIT,
                    time_in_force=TimeInForce.GOOD_TILL_CANCEL,
                    quantity_lots=instrument.quantity_lots(str(asked.quantity)),
                    price_ticks=instrument.price_ticks(str(asked.price)),
                )
            )
        )

    def _parent(self, number: int, side: Side) -> int:
        """Return a parent order of a number and side, opened when there is none yet; as large as one can be."""
        if (number, side) not in self._parents:
            self._parents[number, side] = parent = self._next_id()
            self._tell(
                w.opening_words(parent_id=parent, route=self._route, side=side, quantity_lots=QUANTITY_LOTS_CAP)
            )
        return self._parents[number, side]

    def _report(self, kind: ReportKind, child: int, *, lots: int = 0, ticks: int = 0, **words: int) -> None:
        fields = {"quantity_lots": lots, "price_ticks": ticks, "exchange_ns": self._now_ns, **words}
        self._tell(w.report_words(VenueReport(kind, child, **fields)))

    def _next_id(self) -> int:
        self._last_id += ID_STEP
        return self._last_id

    def _tell(self, words: Sequence[int]) -> Words:
        return self._machine.apply(words, wall_ns=self._now_ns, monotonic_ns=self._now_ns)

    def _instrument(self, name: str) -> Instrument:
        if name not in self._instruments:
            raise InvalidRequest(f"Expected an instrument of the rule book, found {name}; correct the market.")
        return self._instruments[name]

    def _ticks(self, name: str, price: object) -> int:
        return self._instrument(name).price_ticks(str(price))


def _outcome(words: Words) -> int:
    return words[record.WORD_HEAD] >> 16 & 0xFFFF
