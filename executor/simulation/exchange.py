"""A venue that keeps our orders, matches them against a market feed, and reports what became of them, on a given time.

It has no clock of its own: every call carries the time, and the same calls give the same reports. Commands take their
time to arrive and reports theirs to come back (`latency.py`); both keep their order, as on one session. Market data is
handed in by `on_event` when it reaches us, reports are handed out by `advance` when they do.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from controlplane.domain.errors import StateConflict, VenueUnavailable
from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import OrderType, Side, TimeInForce
from controlplane.domain.quantities import MICRO
from controlplane.domain.reports import ReportKind, VenueReport, reason_of
from executor.marketdata.book import Book
from executor.marketdata.events import Fault, MarketEvent, Remedy
from executor.simulation.chance import Chance
from executor.simulation.fees import FeeCalculator, FeeSchedule
from executor.simulation.latency import LatencyModel
from executor.simulation.matching import Fill, Matcher, RestingOrder
from executor.simulation.queue import CancelModel
from executor.simulation.venue_orders import OrderRecord, OrderState, VenueOrder, require_readable, why_off_grid

# Finished orders are forgotten beyond this, the oldest first, and more working ones than this are refused.
ORDERS_KEPT_MAX = 100_000
DOLLARS_AT_PAR = {"USD": MICRO, "USDT": MICRO, "USDC": MICRO}
IMMEDIATE = frozenset({TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL})


class Exchange:
    """The venue.

    Arguments
        instruments         definitions of what is traded there
        latency             delays of feed, commands and reports
        fees                of makers and takers
        seed                of the delays, where they vary
        rates_micro         worth of one unit of each currency in millionths of the reporting currency, for fees;
                            without it, dollars and dollar tokens count as one
        cancels             which orders of a level are assumed to be cancelled
        execution_id_first  first number of an execution; a venue that starts again goes on after its last
    Errors
        UnknownReference when an instrument's currency has no rate
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        latency: LatencyModel | None = None,
        fees: FeeSchedule | None = None,
        seed: int = 0,
        rates_micro: Mapping[str, int] | None = None,
        cancels: CancelModel = CancelModel.PROPORTIONAL,
        execution_id_first: int = 1,
    ) -> None:
        self.now_ns = 0
        self._instruments = {instrument.name: instrument for instrument in instruments}
        self._matchers = {name: Matcher(name, cancels=cancels) for name in self._instruments}
        rates = DOLLARS_AT_PAR if rates_micro is None else rates_micro
        self._latency = latency or LatencyModel()
        self._fees = FeeCalculator(fees or FeeSchedule(), self._instruments.values(), rates)
        self._chance = Chance(seed)
        self._records: dict[int, OrderRecord] = {}
        self._finished: deque[int] = deque()
        # (when it acts on our clock, what it does); in order of sending, which is the order of acting.
        self._commands: deque[tuple[int, Callable[[int], None]]] = deque()
        self._reports: deque[VenueReport] = deque()
        self._next_execution_id = execution_id_first
        self._next_priority = 1
        self._last_due_ns = 0

    # --- from us to the venue ---------------------------------------------------------------------------------------

    def submit(self, order: VenueOrder, now_ns: int) -> None:
        """Send a new order; what becomes of it comes out of `advance`.

        Errors
            InvalidRequest for a quantity or price no venue could read, StateConflict for a child that was sent before,
            VenueUnavailable when too many orders work
        """
        require_readable(order.quantity_lots, order.price_ticks)
        if order.child_id in self._records:
            raise StateConflict(
                f"Child {order.child_id:016x} was sent before; ask for its status instead of sending it again."
            )
        if len(self._records) - len(self._finished) >= ORDERS_KEPT_MAX:
            raise VenueUnavailable(
                f"The venue keeps {ORDERS_KEPT_MAX} working orders; cancel some before sending more."
            )
        self._records[order.child_id] = record = OrderRecord(order, exchange_ns=now_ns)
        self._send(lambda act_ns: self._enter(record, act_ns), now_ns)

    def amend(self, child_id: int, *, quantity_lots: int, price_ticks: int, now_ns: int, request_id: int = 0) -> None:
        """Send a new total quantity and price for an order; a smaller quantity alone keeps its place in the queue.

        The answer carries the request, so that it can't be taken for the answer to a later one.
        """
        require_readable(quantity_lots, price_ticks)
        self._send(lambda act_ns: self._amend(child_id, quantity_lots, price_ticks, act_ns, request_id), now_ns)

    def cancel(self, child_id: int, now_ns: int) -> None:
        """Send a cancel; an order that is finished when it arrives answers with a rejected cancel."""
        self._send(lambda act_ns: self._cancel(child_id, act_ns), now_ns)

    def cancel_all(self, now_ns: int) -> None:
        """Send one message that cancels whatever works when it arrives."""
        self._send(self._cancel_all, now_ns)

    # --- from the market and back to us -----------------------------------------------------------------------------

    def on_event(self, event: MarketEvent) -> None:
        """Take in a market event when it reaches us; commands that are due before it act first."""
        self._act_until(event.receive_ns - 1)
        self.now_ns = max(self.now_ns, event.receive_ns)
        matcher = self._matchers.get(event.instrument)
        if matcher is None:
            return
        for fill in matcher.on_event(event):
            self._report_fill(self._records[fill.child_id], fill, self.now_ns, event.exchange_ns)

    def on_fault(self, fault: Fault) -> None:
        """Take in that a feed is distrusted: when only a snapshot can mend it, its market stands still until then."""
        matcher = self._matchers.get(fault.instrument)
        if matcher is not None and fault.remedy is Remedy.SNAPSHOT:
            matcher.suspend()

    def advance(self, now_ns: int) -> list[VenueReport]:
        """Return the reports that have reached us by now, in the order in which they do; `receive_ns` says when."""
        self._act_until(now_ns)
        self.now_ns = max(self.now_ns, now_ns)
        arrived = []
        while self._reports and self._reports[0].receive_ns <= self.now_ns:
            arrived.append(self._reports.popleft())
        return arrived

    def next_ns(self) -> int | None:
        """Return when the next command acts or the next report arrives, None when nothing is under way."""
        times = [self._commands[0][0]] if self._commands else []
        if self._reports:
            times.append(self._reports[0].receive_ns)
        return min(times, default=None)

    # --- questions --------------------------------------------------------------------------------------------------

    def status(self, child_id: int) -> OrderState | None:
        """Return what the venue knows of an order, None when it never arrived or was forgotten long after its end."""
        record = self._records.get(child_id)
        if record is None or (record.resting is None and record.ended_by is None):
            return None
        return record.state()

    def book(self, instrument: str) -> Book:
        """Return the market's book without our orders, to be read and not changed."""
        return self._matchers[instrument].book

    def working(self) -> tuple[OrderState, ...]:
        """Return every order that rests in a book, in the order of arrival."""
        return tuple(record.state() for record in self._records.values() if record.resting is not None)

    # --- what commands do when they arrive --------------------------------------------------------------------------

    def _send(self, command: Callable[[int], None], now_ns: int) -> None:
        act_ns = now_ns + self._latency.entry.draw(self._chance) + self._latency.feed_ns
        if self._commands:
            act_ns = max(act_ns, self._commands[-1][0])
        self._commands.append((max(act_ns, self.now_ns), command))
        self._act_until(now_ns)

    def _act_until(self, now_ns: int) -> None:
        while self._commands and self._commands[0][0] <= now_ns:
            act_ns, command = self._commands.popleft()
            self.now_ns = max(self.now_ns, act_ns)
            command(act_ns)

    def _enter(self, record: OrderRecord, act_ns: int) -> None:
        order = record.order
        reason = self._why_rejected(order)
        if reason:
            self._end(record, ReportKind.REJECTED, act_ns, reason)
            return
        self._report(ReportKind.ACKNOWLEDGED, record, act_ns)
        self._work(record, act_ns)

    def _work(self, record: OrderRecord, act_ns: int) -> None:
        """Trade what can be had at once, then rest or end what remains."""
        order, matcher = record.order, self._matchers[record.order.instrument]
        open_lots = order.quantity_lots - record.filled_lots
        limit_ticks = self._limit_before_own(matcher, order)
        is_kill = order.time_in_force is TimeInForce.FILL_OR_KILL
        if is_kill and matcher.takeable_lots(order.side, open_lots, limit_ticks) < open_lots:
            self._end(record, ReportKind.EXPIRED, act_ns, f"Fewer than {open_lots} lots were to be had at once.")
            return
        for price, lots in matcher.take(order.side, open_lots, limit_ticks):
            open_lots -= lots
            fill = Fill(order.child_id, lots, price, is_maker=False)
            self._report_fill(record, fill, act_ns, self._venue_ns(act_ns))
        if not open_lots:
            return
        if order.order_type is OrderType.MARKET or order.time_in_force in IMMEDIATE:
            self._end(record, ReportKind.EXPIRED, act_ns, f"{open_lots} lots were not to be had at once.")
        elif limit_ticks != order.price_ticks:
            self._end(record, ReportKind.EXPIRED, act_ns, "The rest would have traded with an order of our own.")
        else:
            record.resting = RestingOrder(
                order.child_id, order.side, order.price_ticks, open_lots, self._priority(), None
            )
            matcher.rest(record.resting)

    def _amend(self, child_id: int, quantity_lots: int, price_ticks: int, act_ns: int, request_id: int) -> None:
        record = self._records.get(child_id)
        if record is None or record.resting is None:
            self._report(ReportKind.AMEND_REJECTED, record, act_ns, child_id=child_id, execution_id=request_id)
            return
        amended = replace(record.order, quantity_lots=quantity_lots, price_ticks=price_ticks)
        matcher, resting = self._matchers[amended.instrument], record.resting
        is_smaller = price_ticks == resting.price_ticks and quantity_lots <= record.order.quantity_lots
        if (
            quantity_lots <= record.filled_lots
            or why_off_grid(self._instruments[amended.instrument], amended)
            or (not is_smaller and self._why_rejected(amended))
        ):
            self._report(ReportKind.AMEND_REJECTED, record, act_ns, execution_id=request_id)
            return
        record.order = amended
        self._report(
            ReportKind.AMENDED, record, act_ns, execution_id=request_id, quantity_lots=quantity_lots,
            price_ticks=price_ticks,
        )  # fmt: skip
        if is_smaller:
            resting.remaining_lots = quantity_lots - record.filled_lots
            return
        matcher.withdraw(resting)
        record.resting = None
        self._work(record, act_ns)

    def _cancel(self, child_id: int, act_ns: int) -> None:
        record = self._records.get(child_id)
        if record is None or record.resting is None:
            self._report(ReportKind.CANCEL_REJECTED, record, act_ns, child_id=child_id)
            return
        self._end(record, ReportKind.CANCELLED, act_ns)

    def _cancel_all(self, act_ns: int) -> None:
        for record in [record for record in self._records.values() if record.resting is not None]:
            self._end(record, ReportKind.CANCELLED, act_ns)

    def _end(self, record: OrderRecord, kind: ReportKind, act_ns: int, reason: str = "") -> None:
        if record.resting is not None:
            self._matchers[record.order.instrument].withdraw(record.resting)
        self._finish(record, kind, reason)
        self._report(kind, record, act_ns)

    def _finish(self, record: OrderRecord, kind: ReportKind, reason: str = "") -> None:
        record.resting, record.ended_by, record.reason = None, kind, reason
        self._finished.append(record.order.child_id)
        if len(self._finished) > ORDERS_KEPT_MAX:
            del self._records[self._finished.popleft()]

    # --- rules of the venue -----------------------------------------------------------------------------------------

    def _why_rejected(self, order: VenueOrder) -> str:
        """Return the sentence of a rejection, empty when the venue takes the order."""
        if order.instrument not in self._instruments:
            return f"{order.instrument} is not traded here."
        matcher = self._matchers[order.instrument]
        if not matcher.is_open:
            return (
                f"{order.instrument} has no book yet."
                if not matcher.book.is_ready
                else f"{order.instrument} is not trading."
            )
        if order.order_type not in (OrderType.LIMIT, OrderType.MARKET):
            return f"{order.order_type.name} orders are not taken here."
        if order.time_in_force is TimeInForce.POST_ONLY:
            if order.order_type is OrderType.MARKET:
                return "A market order can't be post-only."
            if (
                matcher.would_cross(order.side, order.price_ticks)
                or self._limit_before_own(matcher, order) != order.price_ticks
            ):
                return "The order is post-only and would trade at once."
        return why_off_grid(self._instruments[order.instrument], order)

    def _limit_before_own(self, matcher: Matcher, order: VenueOrder) -> int:
        """Return the order's limit, or one tick short of an order of ours on the other side that it would meet."""
        own_ticks = matcher.best_own_ticks(Side.SELL if order.side is Side.BUY else Side.BUY)
        if own_ticks is None or (order.price_ticks - own_ticks) * order.side < 0:
            return order.price_ticks
        return own_ticks - order.side

    def _priority(self) -> int:
        self._next_priority += 1
        return self._next_priority

    # --- reports ----------------------------------------------------------------------------------------------------

    def _report_fill(self, record: OrderRecord, fill: Fill, act_ns: int, exchange_ns: int) -> None:
        record.filled_lots += fill.quantity_lots
        execution_id, self._next_execution_id = self._next_execution_id, self._next_execution_id + 1
        self._report(
            ReportKind.FILLED,
            record,
            act_ns,
            exchange_ns=exchange_ns,
            execution_id=execution_id,
            quantity_lots=fill.quantity_lots,
            price_ticks=fill.price_ticks,
            fee_micro=self._fees.fee_micro(record.order.instrument, fill),
        )
        record.executions.append(self._reports[-1])
        if record.filled_lots == record.order.quantity_lots:
            # The matcher took a filled order out of its book; the fill itself is the report that ends it.
            self._finish(record, ReportKind.FILLED)

    def _report(
        self,
        kind: ReportKind,
        record: OrderRecord | None,
        act_ns: int,
        *,
        child_id: int = 0,
        exchange_ns: int | None = None,
        execution_id: int = 0,
        quantity_lots: int = 0,
        price_ticks: int = 0,
        fee_micro: int = 0,
    ) -> None:
        """Put a report on its way; reports of one session arrive in the order in which they were sent."""
        venue_ns = self._venue_ns(act_ns) if exchange_ns is None else exchange_ns
        arrival_ns = act_ns - self._latency.feed_ns + self._latency.response.draw(self._chance)
        self._last_due_ns = max(arrival_ns, act_ns, self._last_due_ns)
        if record is not None:
            record.exchange_ns = venue_ns
        self._reports.append(
            VenueReport(
                kind=kind,
                child_id=child_id if record is None else record.order.child_id,
                execution_id=execution_id,
                quantity_lots=quantity_lots,
                price_ticks=price_ticks,
                fee_micro=fee_micro,
                exchange_ns=venue_ns,
                receive_ns=self._last_due_ns,
                route=0 if record is None else record.order.route,
                side=0 if record is None else int(record.order.side),
                cumulative_lots=0 if record is None else record.filled_lots,
                reason=reason_of(record.reason) if record is not None and kind is ReportKind.REJECTED else 0,
            )
        )

    def _venue_ns(self, act_ns: int) -> int:
        """Return the venue's time of a moment on our clock, which runs behind by the feed."""
        return act_ns - self._latency.feed_ns
