"""What a parent cost: the same parts from the engine's state and from the journal alone."""

from dataclasses import replace
from decimal import Decimal

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Contract
from controlplane.domain.reports import ReportKind
from executor.engine.cost import from_records, storable
from tests.support.trading import XYZ, World


def bought() -> World:
    """Return a world in which 100 were bought in two fills while the market rose."""
    world = World()
    world.accept(lots=100, decision_ticks=9_950, seconds=30)
    world.fills(60, price=10_001, fee=500_000)
    world.quote(10_003, 10_005)
    world.says(ReportKind.EXPIRED)
    world.quote(10_003, 10_005)
    world.beat(500)
    world.fills(40, price=10_005, fee=300_000)
    return world


def test_parts_add_up_to_the_total_in_the_record() -> None:
    record = bought().journal.of_kind("TcaComputed")[0]

    figures = record["figures"]
    assert isinstance(figures, dict)
    parts = {name: Decimal(amount["currency"]) for name, amount in figures["parts"].items()}
    # 100 x (10000 - 9950) ticks of a cent; 60 x 1 + 40 x 5 ticks; fees 0.80
    assert parts == {"delay": Decimal(50), "trading": Decimal("2.6"), "opportunity": Decimal(0), "fees": Decimal("0.8")}
    assert Decimal(figures["total"]["currency"]) == sum(parts.values())
    assert record["total_micro"] == "53400000"


def test_journal_alone_gives_the_same_parts() -> None:
    world = bought()
    parent_id = next(iter(world.state.parents))
    recorded = world.journal.of_kind("TcaComputed")[0]["figures"]

    again = storable(from_records(world.journal.records, parent_id, XYZ).as_json())

    assert isinstance(recorded, dict)
    assert {name: again[name] for name in ("total", "parts", "trading", "notional")} == {
        name: recorded[name] for name in ("total", "parts", "trading", "notional")
    }


def test_spread_is_measured_against_the_mid_just_before_each_fill() -> None:
    figures = bought().journal.of_kind("TcaComputed")[0]["figures"]

    assert isinstance(figures, dict)
    # 60 at 10001 against a mid of 10000, 40 at 10005 against a mid of 10004
    assert Decimal(figures["trading"]["spread"]["currency"]) == Decimal("1.0")
    assert Decimal(figures["trading"]["drift"]["currency"]) == Decimal("1.6")


def test_repeated_fill_on_record_counts_once() -> None:
    world = bought()
    records = world.journal.records
    fills = [record for record in records if record["kind"] == "ReportReceived" and record["report"] == "FILLED"]

    report = from_records([*records, *fills], next(iter(world.state.parents)), XYZ)

    assert report.components.shortfall.filled_lots == 100


def test_contract_that_is_not_linear_says_why_it_has_no_shortfall() -> None:
    world = World(instrument=replace(XYZ, is_inverse=True))
    world.accept(lots=100)
    world.fills(100)

    figures = world.journal.of_kind("TcaComputed")[0]["figures"]
    assert isinstance(figures, dict)
    assert "not linear in its price" in figures["not_computed"]


def test_unfinished_and_unknown_parents_are_refused_with_a_sentence() -> None:
    world = World()
    work = world.accept()

    with pytest.raises(InvalidRequest, match="not finished"):
        from_records(world.journal.records, work.parent.parent_id, XYZ)
    with pytest.raises(InvalidRequest, match="unknown"):
        from_records(world.journal.records, 12345, XYZ)


def test_large_integers_are_stored_as_text() -> None:
    assert storable({"small": 7, "large": 1 << 60, "deep": [{"large": -(1 << 60)}], "flag": True}) == {
        "small": 7,
        "large": str(1 << 60),
        "deep": [{"large": str(-(1 << 60))}],
        "flag": True,
    }


def test_premium_of_an_option_has_a_shortfall_like_any_linear_price() -> None:
    world = World(instrument=replace(XYZ, contract=Contract.OPTION))
    world.accept(lots=100)
    world.fills(100)

    figures = world.journal.of_kind("TcaComputed")[0]["figures"]
    assert isinstance(figures, dict)
    assert "not_computed" not in figures
