"""The same decision over a small and a large state: limits, parents and working orders made up for the purpose.

The two differ in nothing but how many instruments and working orders there are; each timed order is for an instrument
drawn anew, so that its rows are as cold as they get.
"""

import dataclasses
import time
from pathlib import Path
from random import Random
from typing import Any

from controlplane.domain.clock import NS_PER_S, SystemClock
from controlplane.domain.ids import IdMint
from controlplane.domain.instruments import Contract
from controlplane.domain.observations import Phase, PhaseObserved, ReferenceObserved, ReferenceSource, VolumeObserved
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import CrossDimension, Route, Scope
from controlplane.gate.bench.desk import PARENT_LOTS, PLENTY, PRICES, check_allowed, percentiles, quiet
from controlplane.gate.client import ParentOpening
from controlplane.gate.gate import Gate
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.one_call import NOT_COMMITTED
from controlplane.gate.snapshot import InstrumentLimits, Node, NodeLimits, ParentLimits, Snapshot
from controlplane.runtime.settings import Durability

SMALL, LARGE = (10, 100), (10_000, 100_000)  # instruments, working orders
PRICE_TICKS = 600_000
HOUR_NS = 3_600 * NS_PER_S
AMPLE = 1 << 54
LIMIT_FOR_THE_DAY = 1 | 1 << 8  # order type and time in force
TIMED_AT_ONCE = 64


def time_sizes(snapshot: Snapshot, directory: Path, orders: int) -> dict[str, Any]:
    """Return percentiles of one decision over both states, their bytes, and the ratio of the medians."""
    found: dict[str, Any] = {}
    for name, (instruments, working) in (("small", SMALL), ("large", LARGE)):
        taken, state_bytes = time_size(snapshot, directory / name, instruments, working, orders)
        found[name] = percentiles(taken) | {
            "instruments": instruments, "working_orders": working, "state_bytes": state_bytes,
        }  # fmt: skip
    found["ratio_p50"] = round(found["large"]["p50_ns"] / found["small"]["p50_ns"], 2)
    return found


def time_size(
    snapshot: Snapshot, directory: Path, instruments: int, working: int, orders: int
) -> tuple[list[int], int]:
    """Return nanoseconds of each decision over a state with so many instruments and working orders, and its bytes."""
    limits, clock = made_up(snapshot, instruments), SystemClock()
    capacity = Capacity(orders=power_above(working), parents=power_above(instruments))
    gate = Gate.open(limits, directory=directory, clock=clock, durability=Durability.PROCESS, capacity=capacity)
    try:
        mint, chance = IdMint(clock, program=7), Random("instruments of a benchmark")
        parents = [mint.next() for _ in limits.routes]
        for number, parent_id in enumerate(parents):
            gate.open_parent(ParentOpening(parent_id, number, Side.BUY, PARENT_LOTS))
            tell_market(gate, limits, number, clock)

        def ask(number: int) -> tuple[int, ...]:
            child_id, price = mint.next(), PRICE_TICKS - chance.randrange(PRICES) * 5
            return (1, child_id, child_id, parents[number], number, 1, LIMIT_FOR_THE_DAY, 1, price, 0, 0)

        decide, completed = gate.one_call.decide, gate.one_call.completed
        for number in range(working):
            check_allowed(gate.one_call.decide_order(*ask(number % instruments)))
        taken = []
        with quiet():
            for _ in range(orders // TIMED_AT_ONCE):
                asked = [ask(chance.randrange(instruments)) for _ in range(TIMED_AT_ONCE)]
                for order in asked:
                    started = time.perf_counter_ns()
                    head = decide(*order)
                    if head & NOT_COMMITTED:
                        head = completed(head, order)
                    taken.append(time.perf_counter_ns() - started)
                    check_allowed(head)
                for order in asked:
                    gate.report(VenueReport(ReportKind.NOT_SENT, order[2]))
                gate.commit()
        return taken, int(gate.state.words.nbytes)
    finally:
        gate.close()


def made_up(snapshot: Snapshot, instruments: int) -> Snapshot:
    """Return limits with so many instruments, each a copy of a linear perpetual with one route; nothing binds."""
    rules = next(
        rules
        for rules in snapshot.instruments
        if rules.instrument.contract is Contract.PERPETUAL and not rules.instrument.is_inverse
    )
    route = next(route for route in snapshot.routes if route.instrument == rules.instrument.name)
    names = [f"{rules.instrument.name}-{number:05}" for number in range(instruments)]
    ample = NodeLimits(AMPLE, AMPLE, AMPLE, AMPLE, PLENTY, AMPLE, PLENTY, 0, PLENTY)
    lots = InstrumentLimits(PLENTY, PLENTY, PLENTY, 1_000)
    routes = tuple(dataclasses.replace(route, instrument=name) for name in names)
    return dataclasses.replace(
        snapshot,
        expires_ns=snapshot.created_ns + 24 * HOUR_NS,
        instruments=tuple(
            dataclasses.replace(
                rules,
                instrument=dataclasses.replace(rules.instrument, name=name, underlying=name),
                static_reference_ticks=PRICE_TICKS,
                reference_age_ns_max=HOUR_NS,
            )
            for name in names
        ),
        nodes=tuple(node_of(scope, names, ample, lots) for scope in scopes_of(routes)),
        routes=routes,
        parent_limits=((route.strategy, ParentLimits(ample, PLENTY, PLENTY, PLENTY, PLENTY)),),
        models=tuple(dataclasses.replace(model, is_approved=True, expires_ns=None) for model in snapshot.models),
        rates=tuple(dataclasses.replace(rate, rate_micro=1_000_000, is_fixed=True) for rate in snapshot.rates),
        phase_age_ns_max=HOUR_NS,
        volume_age_ns_max=HOUR_NS,
        breakers=(),
        factors=(),
    )


def scopes_of(routes: tuple[Route, ...]) -> list[Scope]:
    """Return every scope that an order can reach, once."""
    return list(dict.fromkeys(scope for route in routes for scope in route.scopes(route.instrument)))


def node_of(scope: Scope, names: list[str], ample: NodeLimits, lots: InstrumentLimits) -> Node:
    """Return a scope with its limits; one instrument's scope has none in lots."""
    if scope.kind in (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING):
        return Node(scope, ample)
    return Node(scope, ample, tuple((name, lots) for name in names))


def tell_market(gate: Gate, limits: Snapshot, number: int, clock: SystemClock) -> None:
    """Let the gate know phase, volume and price of one instrument."""
    now, route = clock.wall_ns(), limits.routes[number]
    gate.observe(PhaseObserved(route.instrument, Phase.CONTINUOUS, now))
    gate.observe(VolumeObserved(route.instrument, route.venue, 1 << 30, now, now))
    gate.observe(
        ReferenceObserved(
            route.instrument, ReferenceSource.BOOK, PRICE_TICKS - 1, PRICE_TICKS + 1, 1 << 20, 1 << 20, now, now
        )
    )


def power_above(count: int) -> int:
    """Return the smallest power of two with room for so many and a few more."""
    return 1 << (count + TIMED_AT_ONCE).bit_length()
