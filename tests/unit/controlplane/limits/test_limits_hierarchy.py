"""Which limits meet an order on a route, and which of them permits least."""

import dataclasses

import pytest

from controlplane.domain.errors import UnknownReference
from controlplane.domain.scopes import FIRM, CrossDimension, Level, Route, Scope
from controlplane.gate.snapshot import NO_LIMIT, Snapshot
from controlplane.limits.compile import compile_snapshot
from controlplane.limits.hierarchy import limits_on, nodes_on, scope_above, tightest
from controlplane.limits.kinds import KINDS
from controlplane.policy.load import parse_policies
from tests.support.policies import AS_OF_NS, shipped_snapshot, small_files_with, small_snapshot

ROUTE = Route("crypto", "crypto/twap", "crypto/twap/schedule", "BTC-PERP", "SIM", "SIM-CLEARING")


def changed(file: str, old: str, new: str) -> Snapshot:
    return compile_snapshot(parse_policies(small_files_with(file, old, new)), as_of_ns=AS_OF_NS, version=1)


def test_an_order_meets_its_levels_from_the_top_and_then_the_cross_dimensions() -> None:
    scopes = [str(node.scope) for node in nodes_on(small_snapshot(), ROUTE)]

    assert scopes == [
        "firm:firm",
        "desk:crypto",
        "strategy:crypto/twap",
        "model:crypto/twap/schedule",
        "instrument:BTC-PERP",
        "underlying:BTC",
        "venue:SIM",
        "counterparty:SIM-CLEARING",
    ]


def test_every_kind_meets_an_order_once_for_each_kind_of_scope_that_it_applies_to() -> None:
    limits = limits_on(small_snapshot(), ROUTE)

    met = {(limit.kind.name, int(limit.scope.kind)) for limit in limits}
    assert met == {(kind.name, int(scope_kind)) for kind in KINDS for scope_kind in kind.scope_kinds}
    assert len(limits) == len(met)


@pytest.mark.parametrize("route", shipped_snapshot().routes, ids=lambda route: f"{route.strategy}:{route.instrument}")
def test_no_shipped_route_meets_a_limit_that_binds_nobody(route: Route) -> None:
    limits = limits_on(shipped_snapshot(), route)

    assert [limit for limit in limits if limit.value >= NO_LIMIT] == []


def test_instrument_limits_come_from_the_line_of_the_routes_own_instrument() -> None:
    call = dataclasses.replace(ROUTE, instrument="ETH-CALL")

    quantities = {
        limit.scope: limit.value for limit in limits_on(small_snapshot(), call) if limit.kind.name == "order_quantity"
    }

    assert set(quantities.values()) == {50}
    assert len(quantities) == 6


def test_the_smallest_limit_is_tightest_wherever_it_stands() -> None:
    snapshot = changed("limits/desks.toml", 'daily_loss_max = "400000"', 'daily_loss_max = "5"')

    chosen = tightest(limits_on(snapshot, ROUTE))

    assert (chosen["daily_loss"].scope, chosen["daily_loss"].value) == (Scope(Level.DESK, "crypto"), 5_000_000)


def test_the_largest_reserve_for_cancels_is_tightest() -> None:
    snapshot = changed("limits/desks.toml", "message_reserve_bps = 2000", "message_reserve_bps = 4000")

    assert tightest(limits_on(snapshot, ROUTE))["message_reserve"].value == 4_000


def test_of_equal_limits_the_highest_scope_is_named() -> None:
    chosen = tightest(limits_on(small_snapshot(), ROUTE))

    assert chosen["gross_notional"].scope == FIRM
    assert chosen["children"].scope == Scope(Level.PARENT, "crypto/twap")


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "crypto/vwap"},
        {"instrument": "DOGE-PERP"},
        {"model": "crypto/pov/schedule"},
        {"venue": "OTHER"},
        {"desk": "equities"},
    ],
)
def test_a_route_that_the_allow_lists_do_not_open_has_no_limits(changes: dict[str, str]) -> None:
    closed = dataclasses.replace(ROUTE, **changes)

    with pytest.raises(UnknownReference, match="name a route that the allow lists"):
        limits_on(small_snapshot(), closed)
    with pytest.raises(UnknownReference, match=closed.instrument):
        nodes_on(small_snapshot(), closed)


@pytest.mark.parametrize(
    ("scope", "above"),
    [
        (Scope(Level.MODEL, "crypto/twap/schedule"), Scope(Level.STRATEGY, "crypto/twap")),
        (Scope(Level.STRATEGY, "crypto/twap"), Scope(Level.DESK, "crypto")),
        (Scope(Level.DESK, "crypto"), FIRM),
        (Scope(CrossDimension.VENUE, "SIM"), FIRM),
        (Scope(Level.PARENT, "00000000000000ff"), FIRM),
        (FIRM, None),
    ],
)
def test_the_scope_above_is_read_from_the_path_in_a_name(scope: Scope, above: Scope | None) -> None:
    assert scope_above(scope) == above


def test_every_scope_of_the_shipped_snapshot_hangs_below_another_one() -> None:
    scopes = {node.scope for node in shipped_snapshot().nodes}

    assert {scope_above(scope) for scope in scopes} - {None} <= scopes
