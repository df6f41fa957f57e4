"""Journal records of a small trading day, built one by one, and an index over them in memory.

The records have the shape that the executor and the gate write; what a gate would have decided is stated, not decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from controlplane.domain.clock import NS_PER_MS, NS_PER_S
from controlplane.domain.decisions import FIRST_MORE_CODE, DenialCode, Outcome
from controlplane.domain.errors import DatabaseUnavailable
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.instruments import Contract, Instrument
from controlplane.domain.orders import CommandKind, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import Route
from controlplane.journal.record import RecordKind, describe_entry, entry_words, pack_entry
from controlplane.supervision.index import DecisionQuery, Found
from controlplane.supervision.orders import Entry
from controlplane.supervision.units import Names

START_NS = 1_763_632_800 * NS_PER_S
GATE, EXECUTOR = "gate-0", "executor-0"

PERPETUAL = "ETH-PERP"
OPTION = "ETH-3200-C"
ROUTES = (
    Route("crypto", "twap", "none", PERPETUAL, "simulated", "house"),
    Route("crypto", "pov", "none", OPTION, "simulated", "house"),
)
SCOPES = (
    "firm:firm",
    "desk:crypto",
    "strategy:twap",
    "strategy:pov",
    "model:none",
    "instrument:ETH-PERP",
    "instrument:ETH-3200-C",
    "underlying:ETH",
    "venue:simulated",
    "counterparty:house",
)


def instrument(name: str, contract: Contract, *, tick: str, lot: str) -> Instrument:
    """One instrument with little about it."""
    return Instrument(
        name=name,
        underlying="ETH",
        contract=contract,
        currency="USD",
        settlement_currency="USD",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        multiplier=Decimal(1),
        price_min_ticks=1,
        price_max_ticks=1 << 30,
        quantity_min_lots=1,
        quantity_max_lots=1 << 30,
        lot_step=1,
        tick_bands=(),
        calendar="always",
    )


NAMES = Names(
    routes=ROUTES,
    scopes=SCOPES,
    instruments={
        PERPETUAL: instrument(PERPETUAL, Contract.PERPETUAL, tick="0.05", lot="0.01"),
        OPTION: instrument(OPTION, Contract.OPTION, tick="0.1", lot="1"),
    },
    currency="USD",
    explanation=lambda words: "The quantity is above the order limit for strategy:twap; at most 250.00 would pass.",
)


@dataclass
class Day:
    """Writes records into two logs; time moves on by hand."""

    now_ns: int = START_NS
    entries: list[Entry] = field(default_factory=list)
    next_id: int = 0x1000
    is_away: bool = False

    def advance(self, milliseconds: float) -> None:
        self.now_ns += int(milliseconds * NS_PER_MS)

    def mint(self) -> str:
        self.next_id += 0x100
        return to_text(self.next_id)

    def parent(
        self,
        *,
        quantity_lots: int = 50_000,
        route: int = 0,
        side: str = "BUY",
        reference: str = "demo-1",
        minutes: int = 30,
        schedule: list[list[object]] | None = None,
    ) -> str:
        """A parent order that was accepted and opened at the gate; returns its identifier."""
        parent_id, names = self.mint(), ROUTES[route]
        facts: dict[str, object] = {
            "parent_id": parent_id,
            "reference": reference,
            "entered_by": "operator",
            "instrument": names.instrument,
            "side": side,
            "quantity_lots": quantity_lots,
            "strategy": names.strategy,
            "parameters": [["slices", 20]],
            "desk": names.desk,
            "model": names.model,
            "venue": names.venue,
            "counterparty": names.counterparty,
            "horizon_ns": str(minutes * 60 * NS_PER_S),
            "start_ns": str(self.now_ns),
            "end_ns": str(self.now_ns + minutes * 60 * NS_PER_S),
            "limit_ticks": 0,
            "arrival_bid_ticks": 61_000 if route == 0 else 412,
            "arrival_ask_ticks": 61_002 if route == 0 else 414,
        }
        if schedule is not None:
            facts["schedule"] = schedule
        self.write("ParentAccepted", facts)
        self.decide_nothing(RecordKind.PARENT_OPENED, parent_id=parent_id, route=route, side=side, lots=quantity_lots)
        return parent_id

    def child(
        self,
        parent_id: str,
        *,
        lots: int = 500,
        price: int = 61_003,
        route: int = 0,
        side: str = "BUY",
        denied: DenialCode | None = None,
        largest: int = 0,
    ) -> str:
        """A child that was requested and decided, and sent when the gate allowed it; returns its identifier."""
        child_id, names = self.mint(), ROUTES[route]
        about = {"parent_id": parent_id, "child_id": child_id, "request_id": child_id}
        self.write(
            "ChildRequested",
            {
                **about,
                "venue": names.venue,
                "side": side,
                "order_type": "LIMIT",
                "time_in_force": "GOOD_TILL_CANCEL",
                "quantity_lots": lots,
                "price_ticks": price,
                "urgency": "normal",
                "reason": "slice 4 of 20 is due",
            },
        )
        self.advance(0.18)
        sequence = self._decide(about, lots, price, route, side, denied, largest)
        self.advance(0.09)
        if denied is not None:
            self.write(
                "ChildDenied",
                {**about, "sequence": str(sequence), "codes": [denied.name], "largest_passing_lots": largest},
            )
        else:
            self.write("ChildSent", {**about, "sequence": str(sequence), "permit": {"gate_id": 0, "epoch": 1}})
        return child_id

    def report(
        self,
        parent_id: str,
        child_id: str,
        kind: ReportKind,
        *,
        lots: int = 0,
        price: int = 0,
        execution: int = 0,
        route: int = 0,
    ) -> None:
        """A venue's message, received by the executor and applied by the gate."""
        facts = {
            "parent_id": parent_id,
            "child_id": child_id,
            "report": kind.name,
            "execution_id": str(execution),
            "quantity_lots": lots,
            "price_ticks": price,
            "fee_micro": "120000",
            "exchange_ns": str(self.now_ns - NS_PER_MS),
            "oddities": [],
        }
        self.write("ReportReceived", facts)
        self.advance(0.05)
        self._binary(
            RecordKind.REPORT_APPLIED,
            int(kind),
            0,
            0,
            parent_id=from_text(parent_id),
            child_id=from_text(child_id),
            route=route,
            quantity_lots=lots,
            price_ticks=price,
            execution_id=execution,
        )

    def finish(self, parent_id: str, *, state: str = "filled", figures: Mapping[str, object] | None = None) -> None:
        """The end of a parent with its cost."""
        self.write("ParentFinished", {"parent_id": parent_id, "state": state, "reason": "everything is filled"})
        self.write("TcaComputed", {"parent_id": parent_id, "figures": dict(figures or FIGURES)})

    def decide_nothing(self, kind: RecordKind, *, parent_id: str, route: int, side: str, lots: int) -> None:
        self._binary(
            kind, 0, 0, 0, parent_id=from_text(parent_id), route=route, side=int(Side[side]), quantity_lots=lots
        )

    def write(self, kind: str, facts: Mapping[str, object], *, log: str = EXECUTOR) -> Entry:
        """Any JSON record of the executor."""
        whole = {"kind": kind, "wall_ns": str(self.now_ns), **facts}
        entry = Entry(log, self._next(log), kind, self.now_ns, whole)
        self.entries.append(entry)
        return entry

    def _decide(
        self,
        about: Mapping[str, str],
        lots: int,
        price: int,
        route: int,
        side: str,
        denied: DenialCode | None,
        largest: int,
    ) -> int:
        measured, limit = (lots, 25_000) if denied else (lots * 30, 900_000)
        code = denied or DenialCode.PARENT_QUANTITY_EXCEEDED
        outcome = Outcome.DENIED if denied else Outcome.ALLOWED
        return self._binary(
            RecordKind.ORDER_DECIDED,
            int(CommandKind.NEW),
            int(outcome),
            int(code),
            request_id=from_text(about["request_id"]),
            child_id=from_text(about["child_id"]),
            parent_id=from_text(about["parent_id"]),
            route=route,
            side=int(Side[side]),
            order_type=int(OrderType.LIMIT) | int(TimeInForce.GOOD_TILL_CANCEL) << 8,
            quantity_lots=lots,
            price_ticks=price,
            snapshot_version=7,
            failed_checks=1 << (denied - 1) if denied and denied < FIRST_MORE_CODE else 0,
            failed_checks_more=1 << (denied - FIRST_MORE_CODE) if denied and denied >= FIRST_MORE_CODE else 0,
            failed_scopes=1 << 2 if denied else 0,
            binding_scope=2 | 2 << 8,
            measured=measured,
            limit=limit,
            largest_passing_lots=largest,
            reference_bid_ticks=61_000,
            reference_ask_ticks=61_002,
            reference_age_ns=3 * NS_PER_MS,
            permit_expiry_ns=0 if denied else self.now_ns + 250 * NS_PER_MS,
            notional_micro=lots * price * 50,
            fence=3,
            digest_before=0x1234_5678,
            digest_after=0x2345_6789,
        )

    def _binary(self, kind: RecordKind, subkind: int, outcome: int, code: int, **words: int) -> int:
        bytes_ = pack_entry(kind, subkind=subkind, outcome=outcome, code=code, wall_ns=self.now_ns, **words)
        seq = self._next(GATE)
        self.entries.append(
            Entry(GATE, seq, kind.text, self.now_ns, describe_entry(bytes_, flags=0), entry_words(bytes_))
        )
        return seq

    def _next(self, log: str) -> int:
        return sum(1 for entry in self.entries if entry.log == log) + 1

    # --- the index that supervision follows -------------------------------------------------------------------------

    def newest(self) -> dict[str, int]:
        self._check()
        return {
            log: sum(1 for entry in self.entries if entry.log == log) for log in {entry.log for entry in self.entries}
        }

    def after(self, log: str, seq: int, *, limit: int) -> list[Entry]:
        self._check()
        return [entry for entry in self.entries if entry.log == log and entry.seq > seq][:limit]

    def about_child(self, child_id: str) -> list[Entry]:
        self._check()
        return [entry for entry in self.entries if entry.facts.get("child_id") == child_id]

    def about_parent(self, parent_id: str) -> list[Entry]:
        self._check()
        return [entry for entry in self.entries if entry.facts.get("parent_id") == parent_id]

    def find(self, log: str, seq: int) -> Entry | None:
        self._check()
        return next((entry for entry in self.entries if (entry.log, entry.seq) == (log, seq)), None)

    def decisions(self, query: DecisionQuery) -> Found:
        self._check()
        found = [entry for entry in reversed(self.entries) if entry.kind == "OrderDecided" and _matches(entry, query)]
        below = [entry for entry in found if not query.before or entry.seq < int(query.before.rpartition(".")[2])]
        return Found(tuple(below[: query.limit]), len(found), True, len(below) > query.limit)

    def _check(self) -> None:
        if self.is_away:
            raise DatabaseUnavailable("Expected PostgreSQL to answer, found: connection refused; try again later.")


def _matches(entry: Entry, query: DecisionQuery) -> bool:
    facts = entry.facts
    if query.order_id and query.order_id not in (facts.get("parent_id"), facts.get("child_id")):
        return False
    if query.routes is not None and int(str(facts["route"])) not in query.routes:
        return False
    if query.code and facts.get("code") != query.code:
        return False
    if (query.from_ns and entry.wall_ns < query.from_ns) or (query.to_ns and entry.wall_ns >= query.to_ns):
        return False
    return not query.outcome or facts.get("outcome") == query.outcome


def _amount(currency: str, bps: str) -> dict[str, str]:
    return {"units": "0", "currency": currency, "bps": bps}


FIGURES: dict[str, object] = {
    "total": _amount("1843.20", "3.4210"),
    "parts": {
        "delay": _amount("210.10", "0.3900"),
        "trading": _amount("1402.70", "2.6035"),
        "opportunity": _amount("0.00", "0.0000"),
        "fees": _amount("230.40", "0.4275"),
    },
    "sums": {"parts_equal_total": True},
}


def typical_day(*, now_ns: int = START_NS) -> Day:
    """A morning: one block at work with fills, working children and a denial, one paused, one finished with its
    cost."""
    day = Day(now_ns=now_ns - 12 * 60 * NS_PER_S)
    execution = 1
    done = day.parent(quantity_lots=4_000, route=1, side="SELL", reference="opt-500", minutes=8)
    for _ in range(4):
        child_id = day.child(done, lots=1_000, route=1, side="SELL", price=412)
        day.advance(900)
        day.report(done, child_id, ReportKind.ACKNOWLEDGED, route=1)
        day.advance(30_000)
        day.report(done, child_id, ReportKind.FILLED, lots=1_000, price=413, execution=execution, route=1)
        execution += 1
    day.finish(done)

    main = day.parent(quantity_lots=50_000, reference="demo-1", minutes=20)
    for number in range(16):
        if number in (5, 11):
            day.child(main, lots=90_000, denied=DenialCode.ORDER_QUANTITY_ABOVE_LIMIT, largest=25_000)
            day.advance(400)
        child_id = day.child(main, lots=1_400, price=61_000 + number)
        day.advance(4)
        day.report(main, child_id, ReportKind.SENT)
        day.advance(11)
        day.report(main, child_id, ReportKind.ACKNOWLEDGED)
        day.advance(14_000)
        filled = 1_400 if number < 13 else 600
        if number < 15:
            day.report(main, child_id, ReportKind.FILLED, lots=filled // 2, price=61_001 + number, execution=execution)
            day.advance(3_000)
            rest = filled - filled // 2
            day.report(main, child_id, ReportKind.FILLED, lots=rest, price=61_002 + number, execution=execution + 1)
            execution += 2
        day.advance(8_000)
    held = day.parent(quantity_lots=12_000, reference="demo-2", minutes=40, side="SELL")
    pause = {"parent_id": held, "operation": "pause", "reason": "waiting for the auction", "spoken_by": "operator"}
    day.write("ParentCommanded", pause)
    day.advance(500)
    unknown = day.child(held, lots=300, side="SELL")
    day.report(held, unknown, ReportKind.SEND_UNKNOWN)
    return day
