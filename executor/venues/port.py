"""The one door every venue adapter shares: a permit is verified and spent before an order can leave the machine.

An adapter subclasses `VenueAdapter` and writes a few small methods that put bytes on a wire. It can't skip the
permit, because `send` belongs to the base class and the wire is reached through it alone. Cancels pass without a permit
in every state.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, final

from controlplane.domain.clock import Clock
from controlplane.domain.decisions import Permit
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import CommandKind, OrderCommand
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.permit import PermitKey, SpentPermits, verify

NEEDS_PERMIT = frozenset({CommandKind.NEW, CommandKind.AMEND, CommandKind.QUOTE_ACCEPTANCE})


class Delivery(StrEnum):
    """What became of bytes that were to leave: gone, certainly not gone, or nobody knows."""

    SENT = "sent"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one message to the venue, with a sentence when it didn't simply leave."""

    delivery: Delivery
    reason: str = ""


SENT = SendResult(Delivery.SENT)


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """A venue's answer to "what became of this order?".

    Fields
        child_id         the child order asked about
        is_found         whether the venue knows the order at all
        executions       every fill of the order so far, as reports with their execution ids
        ended_by         report kind that ended the order, None while it works; FILLED when nothing remains
        quantity_lots    total quantity as the venue has it
        price_ticks      limit price as the venue has it
        exchange_ns      venue's time of the answer
    """

    child_id: int
    is_found: bool
    executions: tuple[VenueReport, ...] = ()
    ended_by: ReportKind | None = None
    quantity_lots: int = 0
    price_ticks: int = 0
    exchange_ns: int = 0


@dataclass(frozen=True, slots=True)
class WorkingList:
    """Every order of ours that a venue counts as working: the second source beside single status answers."""

    child_ids: frozenset[int]
    exchange_ns: int


VenueMessage = VenueReport | OrderStatus | WorkingList


class PermitAuthority(Protocol):
    """What an adapter must know of the gate: today's key and today's fence."""

    def permit_key(self) -> PermitKey: ...

    def fence(self) -> int: ...


class VenueAdapter(ABC):
    """Base of every adapter: permit first, then the wire.

    Arguments
        venue      name as it stands in routes and limits
        authority  source of the permit key and of the fence
        clock      wall time that permits expire by
    """

    def __init__(self, venue: str, *, authority: PermitAuthority, clock: Clock) -> None:
        self.venue = venue
        self.refused_count = 0
        self._authority = authority
        self._clock = clock
        self._spent = SpentPermits()

    @final
    def send(self, command: OrderCommand, permit: Permit | None) -> SendResult:
        """Return what became of a new order or an amend whose permit was in order; the permit is spent either way.

        Errors
            PermitInvalid when the permit is missing, altered, for another order, expired, from before the fence
            moved, or used; nothing left the machine and `refused_count` went up
        """
        try:
            self._admit(command, permit)
        except PermitInvalid:
            self.refused_count += 1
            raise
        return self._transmit(command)

    @final
    def cancel(self, command: OrderCommand) -> SendResult:
        """Return what became of a cancel; cancels need no permit and nothing here holds them back."""
        return self._transmit_cancel(command)

    def _admit(self, command: OrderCommand, permit: Permit | None) -> None:
        if command.kind not in NEEDS_PERMIT:
            raise PermitInvalid(
                f"Expected an order that a permit can stand for, found {command.kind.name}; use cancel()."
            )
        if permit is None:
            raise PermitInvalid(f"Order {command.child_id:016x} came without a permit; ask the gate first.")
        verify(
            permit,
            command,
            key=self._authority.permit_key(),
            fence=self._authority.fence(),
            now_ns=self._clock.wall_ns(),
        )
        self._spent.spend(permit)

    @abstractmethod
    def _transmit(self, command: OrderCommand) -> SendResult:
        """Put a permitted order or amend on the wire."""

    @abstractmethod
    def _transmit_cancel(self, command: OrderCommand) -> SendResult:
        """Put a cancel on the wire."""

    @abstractmethod
    def request_status(self, child_id: int) -> SendResult:
        """Ask what became of one order; the answer comes out of `poll` as an `OrderStatus`."""

    @abstractmethod
    def request_working(self) -> SendResult:
        """Ask for the list of our working orders; the answer comes out of `poll` as a `WorkingList`."""

    @abstractmethod
    def poll(self) -> list[VenueMessage]:
        """Return what the venue said since the last call, oldest first; never waits."""
