"""Measured numbers that the gate uses: what, about which instrument, as of when."""

from dataclasses import dataclass
from enum import IntEnum


class Phase(IntEnum):
    """Trading phase of an instrument on its venue. Unknown denies new risk."""

    UNKNOWN = 0
    CLOSED = 1
    AUCTION = 2
    CONTINUOUS = 3
    VENUE_HALT = 4


class ReferenceSource(IntEnum):
    """Where a reference price comes from, in the order in which they are tried."""

    BOOK = 0
    MARK = 1
    LAST_TRADE = 2


@dataclass(frozen=True, slots=True)
class ReferenceObserved:
    """Best bid and ask (or one price on both sides) from one source; zero stands for "no quote on this side"."""

    instrument: str
    source: ReferenceSource
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int
    exchange_ns: int
    receive_ns: int


@dataclass(frozen=True, slots=True)
class VolumeObserved:
    """Lots traded by the whole market on one venue since the last observation, our own fills included."""

    instrument: str
    venue: str
    traded_lots: int
    exchange_ns: int
    receive_ns: int


@dataclass(frozen=True, slots=True)
class PhaseObserved:
    """Trading phase of an instrument as its venue states it."""

    instrument: str
    phase: Phase
    receive_ns: int


@dataclass(frozen=True, slots=True)
class RateObserved:
    """Worth of one unit of a currency in millionths of the reporting currency."""

    currency: str
    rate_micro: int
    receive_ns: int
