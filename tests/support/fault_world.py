"""A gate among faults: a disk that loses what wasn't flushed, a wire that loses, doubles, delays and reorders, clocks
that jump, programs that die between any two steps, and a venue that alone knows the truth.

`FaultWorld(folder, seed).run(steps)` plays one history. After every step `check` compares what the gate counts with
what the venue has; a violation names seed and step, and the same seed plays the same history again. The gate, its
journal, its switch, the permits and the adapter's door are the product's own.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from controlplane.domain.clock import NS_PER_MS, NS_PER_S
from controlplane.domain.decisions import Verdict
from controlplane.domain.errors import ChainBroken, PermitInvalid
from controlplane.domain.orders import CommandKind, OrderCommand, Side
from controlplane.domain.reports import ReportKind
from controlplane.gate.embedded import EmbeddedGate
from controlplane.gate.snapshot import Snapshot
from controlplane.runtime.settings import Durability
from executor.venues.port import Delivery
from executor.venues.simulated import SimulatedVenue
from tests.support.builders import PRICE, ROUTE, amend_command, cancel_command, order_command, roomy_snapshot, tightened
from tests.support.fault_venue import Venue, Wire
from tests.support.journal import abandon, recorded_words
from tests.support.power_disk import PowerDisk
from tests.support.rig import SEGMENT_BYTES, SMALL_CAPACITY, Rig, TwoClocks

INSTRUMENT = "BTC-PERP"
LONG_MAX, SHORT_MAX, DESK_LONG_MAX = 60, 50, 45
PARENT_LOTS = 400
LOTS_MAX = 20


class InvariantBroken(AssertionError):
    """Something that must always hold didn't; names the seed and the step."""


class PowerTookAGroup(Exception):
    """A power cut tore a group that nobody had heard of in its middle, and the gate asks for people."""


def bounded_snapshot() -> Snapshot:
    """Return limits in which nothing but the positions of firm and desk and the parents' quantities can bind."""
    snapshot = roomy_snapshot()
    for scope, most in (("firm:firm", LONG_MAX), ("desk:crypto", DESK_LONG_MAX)):
        snapshot = tightened(snapshot, scope, position_long_lots_max=most, position_short_lots_max=SHORT_MAX)
    return snapshot


@dataclass(slots=True)
class Released:
    """An answer that left the gate: its record's sequence and the words that must never change."""

    sequence: int
    request: OrderCommand
    verdict: Verdict


class FaultWorld:
    """One history; `steps_done` and `counts` say what happened in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed, self.folder = seed, folder
        self.chance = Random(seed)
        self.clock = TwoClocks()
        self.disk = PowerDisk()
        self.venue = Venue(self.chance)
        self.rig = self._open_rig()
        self._open_market()
        self.adapter = self._open_adapter()
        self.parents = {side: self.rig.parent(side, lots=PARENT_LOTS) for side in (Side.BUY, Side.SELL)}
        self.released: dict[int, Released] = {}
        self.unsent: list[tuple[OrderCommand, Verdict]] = []
        self.amends: dict[int, OrderCommand] = {}
        self.steps_done = 0
        self.counts: dict[str, int] = {}

    # --- the programs ---------------------------------------------------------------------------------------------

    def _open_rig(self) -> Rig:
        gate = EmbeddedGate.open(
            bounded_snapshot(), directory=self.folder, clock=self.clock, capacity=SMALL_CAPACITY,
            durability=Durability.DISK, segment_bytes=SEGMENT_BYTES, disk=self.disk,
        )  # fmt: skip
        return Rig(gate, self.clock, self.folder, SMALL_CAPACITY)

    def _open_adapter(self) -> SimulatedVenue:
        return SimulatedVenue(
            "SIM", link=Wire(self.venue, self.chance), instrument_of=lambda _: INSTRUMENT,  # type: ignore[arg-type]
            authority=self.rig.gate, clock=self.clock,
        )  # fmt: skip

    @property
    def gate(self) -> EmbeddedGate:
        return self.rig.gate

    def run(self, steps: int) -> None:
        """Play a history to its end: faults for some steps, then a peace in which everything is found out.

        Errors
            InvariantBroken names what didn't hold, the seed and the step
        """
        acts: Sequence[tuple[Callable[[], None], int]] = (
            (self.ask, 22), (self.amend, 14), (self.cancel, 7), (self.venue_fills, 14), (self.venue_ends, 4),
            (self.hear, 26), (self.send_late, 4), (self.ask_again, 3), (self.find_out_one, 5), (self.let_time_pass, 3),
            (self.step_wall_clock, 1), (self.kill_and_lift, 1), (self.die, 2), (self.lose_power, 2),
        )  # fmt: skip
        for _ in range(steps):
            (act,) = self.chance.choices([one for one, _ in acts], [weight for _, weight in acts])
            self._step(act)
        self._step(self.make_peace)
        self._require(self.gate.working() == [], f"orders stayed live: {self.gate.working()}")
        self._require(self.rig.position() == self.venue.position(), "the gate's position is not the venue's")
        self._step(self.die)
        self.gate.close()

    def _step(self, act: Callable[[], None]) -> None:
        self.steps_done += 1
        name = act.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        try:
            act()
            self.check()
        except InvariantBroken:
            raise
        except Exception as error:
            error.add_note(f"seed {self.seed}, step {self.steps_done}: {name}")
            raise

    # --- what must always hold ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare what the gate counts with the truth.

        Errors
            InvariantBroken
        """
        held, live = self.rig.position(), self.gate.working()
        buys = sum(order.reserved_lots for order in live if order.side > 0)
        sells = sum(order.reserved_lots for order in live if order.side < 0)
        truly = self.venue.position()
        truly_long = truly + self.venue.open_lots(Side.BUY)
        truly_short = self.venue.open_lots(Side.SELL) - truly
        self._require(held + buys >= truly_long, f"the gate counts {held + buys} long, the venue has {truly_long}")
        self._require(sells - held >= truly_short, f"the gate counts {sells - held} short, the venue {truly_short}")
        self._require(truly_long <= min(LONG_MAX, DESK_LONG_MAX), f"{truly_long} long in truth, above the limit")
        self._require(truly_short <= SHORT_MAX, f"{truly_short} short in truth, above the limit")
        twice = [child for child, order in self.venue.orders.items() if order.times_received > 1]
        self._require(not twice, f"orders {twice} came twice")
        for side, parent_id in self.parents.items():
            spent = sum(
                order.filled_lots + order.open_lots
                for order in self.venue.orders.values()
                if order.command.parent_id == parent_id
            )
            self._require(spent <= PARENT_LOTS, f"{spent} lots of the {side.name} parent are out")

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise InvariantBroken(f"seed {self.seed}, step {self.steps_done}: {what}")

    # --- the executor ---------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask for a new order, and send it now, later or never."""
        side = self.chance.choice((Side.BUY, Side.SELL))
        child_id = self.rig.next_id()
        command = order_command(
            child_id=child_id, parent_id=self.parents[side], side=side, route=self.gate.handle(ROUTE),
            quantity_lots=self.chance.randint(1, LOTS_MAX),
        )  # fmt: skip
        self._decide(command)

    def amend(self) -> None:
        """Ask to change the quantity of an order that the gate counts as working."""
        live = self.gate.working()
        for order in [order for order in live if order.state == "sent"][:1]:
            self._find_out(order.child_id)
        working = [order for order in self.gate.working() if order.state == "working"]
        if not working:
            return
        chosen = self.chance.choice(working)
        known = self.rig.orders[chosen.child_id]
        command = amend_command(
            known, request_id=self.rig.next_id(), quantity_lots=self.chance.randint(1, LOTS_MAX),
            price_ticks=PRICE + self.chance.randint(-1, 1),
        )  # fmt: skip
        self._decide(command)

    def cancel(self) -> None:
        """Cancel an order, known or not; nobody is asked."""
        if not self.rig.orders:
            return
        command = cancel_command(
            self.rig.orders[self.chance.choice(sorted(self.rig.orders))], request_id=self.rig.next_id()
        )
        self.gate.decide(command)
        self.adapter.cancel(command)

    def _decide(self, command: OrderCommand) -> None:
        verdict = self.gate.decide(command)
        self.released[command.request_id] = Released(self.gate.sequence, command, verdict)
        if not verdict.is_allowed:
            return
        if command.kind is CommandKind.NEW:
            self.rig.orders[command.child_id] = command
        else:
            self.amends[command.child_id] = command
        roll = self.chance.random()
        if roll < 0.88:
            self._send(command, verdict)
        elif roll < 0.96:
            self.unsent.append((command, verdict))
        # else the program forgot it: the gate counts it until somebody finds out

    def _send(self, command: OrderCommand, verdict: Verdict) -> None:
        try:
            result = self.adapter.send(command, verdict.permit)
        except PermitInvalid:
            self._tell_not_sent(command)
            return
        if self.chance.random() < 0.06:
            return  # died before it could tell
        if result.delivery is Delivery.NOT_SENT:
            self._tell_not_sent(command)
        elif command.kind is CommandKind.NEW:
            kind = ReportKind.SENT if result.delivery is Delivery.SENT else ReportKind.SEND_UNKNOWN
            self.rig.tell(kind, command.child_id)

    def _tell_not_sent(self, command: OrderCommand) -> None:
        kind = ReportKind.NOT_SENT if command.kind is CommandKind.NEW else ReportKind.AMEND_REJECTED
        execution = 0 if command.kind is CommandKind.NEW else command.request_id
        self.rig.tell(kind, command.child_id, execution_id=execution)

    def send_late(self) -> None:
        """Try to send what was held back; its permit may have expired, or a stop or restart may have voided it."""
        if self.unsent:
            command, verdict = self.unsent.pop(self.chance.randrange(len(self.unsent)))
            if self.gate.fence() == (verdict.permit.fence if verdict.permit else -1):
                self._send(command, verdict)
                return
            with suppress(PermitInvalid):
                self.adapter.send(command, verdict.permit)
                self._require(False, "a permit from before the fence moved was taken")
            self._tell_not_sent(command)

    def ask_again(self) -> None:
        """Ask a question for the second time: the first answer comes back, and a spent permit stays spent."""
        if not self.released:
            return
        first = self.released[self.chance.choice(sorted(self.released))]
        again = self.gate.decide(first.request)
        if again.codes and again.codes[0].name == "REQUEST_ID_REUSED":
            return  # too old to be remembered word for word
        self._require(again.outcome is first.verdict.outcome, "the same request got another verdict")
        already = self.venue.orders.get(first.request.child_id)
        if again.permit is not None and first.request.kind is CommandKind.NEW and already is not None:
            with suppress(PermitInvalid):
                self.adapter.send(first.request, again.permit)
                self._require(False, "a permit was spent twice")

    # --- the venue and the wire -----------------------------------------------------------------------------------

    def venue_fills(self) -> None:
        working = [child for child, order in self.venue.orders.items() if order.open_lots]
        if working:
            self.venue.fill(self.chance.choice(working))

    def venue_ends(self) -> None:
        working = [child for child, order in self.venue.orders.items() if order.open_lots]
        if working:
            self.venue.end(self.chance.choice(working), self.chance.choice((ReportKind.CANCELLED, ReportKind.EXPIRED)))

    def hear(self) -> None:
        """Hear one message: any of those on the way, perhaps not for the last time, perhaps lost."""
        if not self.venue.said:
            return
        report = self.venue.said.pop(self.chance.randrange(min(len(self.venue.said), 4)))
        # Answers to amends come twice more often: it's there that an old one could pass for a new one.
        is_amend = report.kind in (ReportKind.AMENDED, ReportKind.AMEND_REJECTED)
        roll = self.chance.random()
        if roll < (0.5 if is_amend else 0.12):
            self.venue.said.append(report)  # once more, behind everything that is on its way
        if roll < 0.9:
            self.gate.report(report)

    def find_out_one(self) -> None:
        """Ask the venue about one order that the gate counts, and tell the gate everything it says."""
        live = self.gate.working()
        if live:
            self._find_out(self.chance.choice(live).child_id)

    def _find_out(self, child_id: int) -> None:
        order = self.venue.orders.get(child_id)
        self.unsent = [one for one in self.unsent if one[0].child_id != child_id]
        if order is None:
            self.rig.tell(ReportKind.NOT_SENT, child_id)
            return
        for fill in order.fills:
            self.gate.report(fill)
        live = self.rig.live(child_id)
        if live is not None and live.state == "amend pending":
            asked = self.amends[child_id]
            is_taken = order.last_amend == asked.request_id
            self.rig.tell(
                ReportKind.AMENDED if is_taken else ReportKind.AMEND_REJECTED, child_id,
                execution_id=asked.request_id, quantity_lots=order.total_lots if is_taken else 0,
                price_ticks=asked.price_ticks if is_taken else 0, cumulative_lots=order.filled_lots,
            )  # fmt: skip
        if order.ended or order.open_lots == 0:
            self.rig.tell(order.ended or ReportKind.CANCELLED, child_id, cumulative_lots=order.filled_lots)
        else:
            self.rig.tell(ReportKind.ACKNOWLEDGED, child_id)

    def make_peace(self) -> None:
        """Let the venue end everything, and find out about every order."""
        for child_id, order in self.venue.orders.items():
            if order.open_lots:
                self.venue.end(child_id, ReportKind.CANCELLED)
        for order in self.venue.orders.values():
            for fill in order.fills:
                self.gate.report(fill)
        for live in self.gate.working():
            self._find_out(live.child_id)

    # --- clocks, stops, deaths ------------------------------------------------------------------------------------

    def let_time_pass(self) -> None:
        self.clock.advance(self.chance.choice((NS_PER_MS, 200 * NS_PER_MS, NS_PER_S)))
        self._open_market()

    def step_wall_clock(self) -> None:
        self.clock.step_wall(self.chance.choice((-3_600, 3_600, -1, 1)) * NS_PER_S)
        self._open_market()

    def _open_market(self) -> None:
        self.rig.open_market()
        self.gate.commit()

    def kill_and_lift(self) -> None:
        """Throw the switch: no order passes and no permit stands until two people have lifted it."""
        self.gate.control("kill", {"scope": "machine", "reason": "drill", "by": "olga"})
        denied = self.gate.decide(
            order_command(child_id=self.rig.next_id(), parent_id=self.parents[Side.BUY], route=self.gate.handle(ROUTE))
        )
        self._require(not denied.is_allowed, "an order passed while the machine was killed")
        for command, verdict in self.unsent:
            with suppress(PermitInvalid):
                self.adapter.send(command, verdict.permit)
                self._require(False, "a permit survived the kill")
        self.gate.control("lift", {"scope": "machine", "reason": "drill over", "by": "olga", "second": "rui"})

    def die(self) -> None:
        """End the gate as `kill -9` does, perhaps with a decision that nobody has heard of, and start it again."""
        self._decide_unheard()
        self._abandon()
        self._reopen()

    def lose_power(self) -> None:
        """Cut the power: whatever wasn't flushed may be gone, in any sector."""
        self._decide_unheard()
        unflushed = self.gate.writer.next_seq - 1 - self.gate.writer.committed_seq
        self._abandon()
        share = self.chance.random()
        lost = self.disk.cut_power(lambda: self.chance.random() < share)
        try:
            self._reopen()
        except ChainBroken as refused:
            # A group that nobody had heard of was torn in its middle; which of its records count, people have to say.
            self._require(unflushed > 1 and lost > 0, f"a log was refused, {lost} lost: {refused}")
            raise PowerTookAGroup from None

    def _decide_unheard(self) -> None:
        """Make one or two decisions whose answers never leave, most of the time."""
        for _ in range(self.chance.choice((0, 1, 1, 1, 2))):
            command = order_command(
                child_id=self.rig.next_id(), parent_id=self.parents[Side.BUY], route=self.gate.handle(ROUTE)
            )
            super(EmbeddedGate, self.gate).decide(command)

    def _abandon(self) -> None:
        abandon(self.gate.writer)
        self.gate.switch.close()

    def _reopen(self) -> None:
        before, self.rig = self.rig, self._open_rig()
        self.rig.orders, self.rig.last_id = before.orders, before.last_id
        self.adapter = self._open_adapter()
        self.clock.advance(NS_PER_S)
        self._open_market()
        recorded = recorded_words(self.folder / "journal" / "gate-0")
        for released in self.released.values():
            words = recorded.get(released.sequence)
            self._require(words is not None, f"the answer of record {released.sequence} left, the record is gone")
            asked = (released.request.request_id, released.request.child_id, released.verdict.outcome.value)
            found = None if words is None else (words[3], words[4], words[0] >> 16 & 0xFFFF)
            self._require(found == asked, f"record {released.sequence} says {found}, the answer was {asked}")
