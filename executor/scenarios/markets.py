"""Markets for the venue's process: a recording that plays as if it happened now, or a generated one without end."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from controlplane.domain.clock import NS_PER_MS, Clock
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Contract, Instrument
from controlplane.runtime.sockets import make_private
from executor.marketdata.quarantine import FeedGuard
from executor.marketdata.readers.recordings import find
from executor.scenarios.rule_book import RuleBook
from executor.scenarios.venue_process import VenueServer
from executor.simulation.exchange import Exchange
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.order_flow import generated_market
from executor.simulation.replay import Replay, Step, shifted

LATENCY = LatencyModel(entry=Delay(NS_PER_MS, 0.3), response=Delay(NS_PER_MS, 0.3))
GENERATED_MEAN_PRICE = 3_000.0


@dataclass(frozen=True, slots=True)
class Market:
    """What a venue plays: its instruments, its steps on the machine's clock, and the guards that hold their books."""

    venue: str
    instruments: tuple[Instrument, ...]
    steps: Iterator[Step]
    guards: Mapping[str, FeedGuard]
    description: str


def venue_socket(directory: Path, name: str) -> Path:
    """Return where a venue listens: in the private folder of the gate's socket, under a short name."""
    return make_private(directory) / f"v-{name.lower()[:12]}.sock"


def recorded_market(
    rule_book: RuleBook, data_directory: Path, instrument: str, recording: str | None, *, speed: float, clock: Clock
) -> Market:
    """Return a recording moved to the present, at a pace; speed 2 plays a minute in half of one."""
    found = find(data_directory, instrument, recording)
    listed = rule_book.listed(found)
    replayed = Replay([replace(found, instrument=listed).open()])
    steps = shifted(_begun(replayed), begin_ns=clock.wall_ns(), speed=speed)
    return Market(rule_book.venue_of(listed.name), (listed,), steps, replayed.guards, found.choice)


def made_market(rule_book: RuleBook, venue: str, *, seed: int, clock: Clock) -> Market:
    """Return the generated market of a venue that lists one perpetual and one option on it.

    Errors
        InvalidRequest when the venue lists something else
    """
    names = {route.instrument for route in rule_book.routes if route.venue == venue}
    listed = [rule_book.instruments[name] for name in sorted(names)]
    perpetuals = [one for one in listed if one.contract is Contract.PERPETUAL]
    options = [one for one in listed if one.contract is Contract.OPTION]
    if len(perpetuals) != 1 or len(options) != 1:
        raise InvalidRequest(
            f"A generated market needs a venue with one perpetual and one option, found "
            f"{sorted(names) or 'nothing'} at {venue}; name another venue or play a recording with --data.",
            field="venue",
        )
    feeds = generated_market(
        perpetuals[0], options[0], seed=seed, start_ns=clock.wall_ns(), mean_price=GENERATED_MEAN_PRICE
    )
    replayed = Replay(feeds)
    steps = _begun(replayed)
    return Market(venue, (perpetuals[0], options[0]), steps, replayed.guards, f"generated from seed {seed}")


def open_venue(
    market: Market, rule_book: RuleBook, path: Path, *, clock: Clock, seed: int, cancels_on_hangup: bool
) -> VenueServer:
    """Return the venue's server over a market, listening."""
    exchange = Exchange(
        market.instruments,
        latency=LATENCY,
        fees=rule_book.fees(market.venue),
        seed=seed,
        rates_micro=rule_book.rates_micro(),
        # A venue that starts again never uses an execution number a second time.
        execution_id_first=time.time_ns() // 1_000,
    )
    return VenueServer(
        market.venue,
        path,
        exchange=exchange,
        steps=market.steps,
        guards=market.guards,
        clock=clock,
        cancels_on_hangup=cancels_on_hangup,
    )


def _begun(replayed: Replay) -> Iterator[Step]:
    """Return the steps of a replay that has begun, so that its guards are there."""
    steps = iter(replayed)
    first = next(steps, None)
    return chain(() if first is None else (first,), steps)
