"""Two rule books line by line: each change has a direction, and what has none counts as loosening."""

import copy
import datetime as dt
from typing import Any

import pytest

from controlplane.limits.change import Effect, changes, effect_of
from controlplane.limits.kinds import KINDS, Direction, Home
from tests.support.policies import contents_of, small_files

TIGHTENING, NEUTRAL, LOOSENING = Effect.TIGHTENING, Effect.NEUTRAL, Effect.LOOSENING
FIRM, DESKS, STRATEGIES = "limits/firm.toml", "limits/desks.toml", "limits/strategies.toml"
# Where one limit of each home stands in the small rule book.
PLACES = {
    Home.SCOPE: (DESKS, ("desks", "crypto")),
    Home.SCOPE_AND_INSTRUMENT: (DESKS, ("desks", "crypto", "instruments", "BTC-PERP")),
    Home.PARENT: (STRATEGIES, ("parent_limit_sets", "block")),
    Home.INSTRUMENT_RULES: ("limits/collars.toml", ("instruments", "ETH-CALL")),
}


def book() -> dict[str, dict[str, Any]]:
    return copy.deepcopy(contents_of(small_files()))


def table_at(content: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        content = content[key]
    return content


def effects(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> dict[str, Effect]:
    return {change.key: change.effect for change in changes(old, new)}


def with_value(file: str, path: tuple[str, ...], value: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the small rule book, and the same with one value set; None takes the key out."""
    old, new = book(), book()
    table = table_at(new[file], path[:-1])
    if value is None:
        del table[path[-1]]
    else:
        table[path[-1]] = value
    return old, new


def test_the_same_rule_book_has_no_change() -> None:
    assert changes(book(), book()) == ()
    assert effect_of(()) is NEUTRAL


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_limit_is_classed_by_its_direction(kind: Any) -> None:
    file, path = PLACES[kind.home]
    present = table_at(book()[file], path)[kind.policy_key]
    more = str(int(present) + 1) if isinstance(present, str) else present + 1

    old, new = with_value(file, (*path, kind.policy_key), more)

    is_loosening = kind.direction is Direction.SMALLER_IS_TIGHTER
    assert list(effects(old, new).values()) == [LOOSENING if is_loosening else TIGHTENING]
    assert list(effects(new, old).values()) == [TIGHTENING if is_loosening else LOOSENING]


@pytest.mark.parametrize(
    ("file", "path", "value", "there", "back"),
    [
        ("watch.toml", ("message_window_ms",), 20_000, TIGHTENING, LOOSENING),
        ("watch.toml", ("permit_ttl_ms",), 400, TIGHTENING, LOOSENING),
        ("watch.toml", ("is_phase_required",), False, LOOSENING, TIGHTENING),
        ("watch.toml", ("near_bps",), 9_000, NEUTRAL, NEUTRAL),
        ("instruments.toml", ("instruments", "BTC-PERP", "volume_curve"), "none", NEUTRAL, NEUTRAL),
        ("instruments.toml", ("instruments", "BTC-PERP", "calendar"), "weekdays", LOOSENING, LOOSENING),
        ("volume_curves.toml", ("volume_curves", "day", "weights"), [4, 3, 2, 1], NEUTRAL, NEUTRAL),
        ("volume_curves.toml", ("volume_curves", "day", "calendar"), "weekdays", NEUTRAL, NEUTRAL),
        ("watch.toml", ("participation_window_ms",), 100_000, LOOSENING, LOOSENING),
        ("limits/collars.toml", ("instruments", "BTC-PERP", "is_one_sided"), True, LOOSENING, TIGHTENING),
        ("limits/collars.toml", ("instruments", "ETH-PERP", "static_reference"), "2600", LOOSENING, LOOSENING),
        (FIRM, ("restricted_instruments",), ["BTC-PERP"], TIGHTENING, LOOSENING),
        (FIRM, ("firm", "order_notional_max"), "1000000.00", NEUTRAL, NEUTRAL),
        (STRATEGIES, ("strategies", "crypto/pov", "instruments"), ["BTC-PERP", "ETH-CALL"], LOOSENING, TIGHTENING),
        (STRATEGIES, ("strategies", "crypto/pov", "models", "impact"), None, TIGHTENING, LOOSENING),
        (STRATEGIES, ("strategies", "crypto/pov", "limits"), "narrow", TIGHTENING, LOOSENING),
        ("governance.toml", ("models", "schedule", "status"), "suspended", TIGHTENING, LOOSENING),
        ("governance.toml", ("models", "impact", "status"), "submitted", NEUTRAL, NEUTRAL),
        ("governance.toml", ("models", "impact", "artefact_sha256"), "11" * 32, LOOSENING, LOOSENING),
        (
            "governance.toml",
            ("models", "impact", "expires"),
            dt.datetime(2029, 1, 1, tzinfo=dt.UTC),
            TIGHTENING,
            LOOSENING,
        ),
        (
            "governance.toml",
            ("models", "schedule", "expires"),
            dt.datetime(2029, 1, 1, tzinfo=dt.UTC),
            TIGHTENING,
            LOOSENING,
        ),
        ("governance.toml", ("models", "schedule", "description"), "other words", NEUTRAL, NEUTRAL),
        (
            "calendars.toml",
            ("calendars", "weekdays", "holidays"),
            [dt.date(2024, 8, 12), dt.date(2024, 8, 15)],
            TIGHTENING,
            LOOSENING,
        ),
        ("calendars.toml", ("calendars", "weekdays", "covered_years"), [2012, 2024], LOOSENING, LOOSENING),
        ("instruments.toml", ("instruments", "BTC-PERP", "tick_size"), "0.5", LOOSENING, LOOSENING),
        ("instruments.toml", ("instruments", "BTC-PERP", "quantity_max"), "900", TIGHTENING, LOOSENING),
        ("venues.toml", ("venues", "SIM", "fee_taker_bps"), "4", LOOSENING, LOOSENING),
        ("currencies.toml", ("currencies", "USDT", "rate"), "1.1", LOOSENING, LOOSENING),
    ],
)
def test_other_lines_have_a_direction_where_they_can_and_count_as_loosening_where_not(
    file: str, path: tuple[str, ...], value: object, there: Effect, back: Effect
) -> None:
    old, new = with_value(file, path, value)

    assert list(effects(old, new).values()) == [there]
    assert list(effects(new, old).values()) == [back]


def test_limits_of_a_scope_that_is_new_loosen_and_of_one_that_is_gone_tighten() -> None:
    old, new = with_value(FIRM, ("counterparties", "SIM-CLEARING"), None)

    assert set(effects(old, new).values()) == {TIGHTENING}
    assert effect_of(changes(new, old)) is LOOSENING
    assert effects(new, old)["counterparties.SIM-CLEARING.live_orders_max"] is LOOSENING


def test_strategy_that_moves_to_another_desk_loosens() -> None:
    old, new = book(), book()
    new[DESKS]["desks"]["macro"] = copy.deepcopy(new[DESKS]["desks"]["crypto"]) | {"strategies": ["crypto/pov"]}
    new[DESKS]["desks"]["crypto"]["strategies"] = ["crypto/twap"]

    assert effects(old, new)["desks.crypto.strategies"] is TIGHTENING
    assert effects(old, new)["desks.macro.strategies"] is LOOSENING


def test_set_that_permits_more_in_one_number_loosens_though_less_in_all_others() -> None:
    old, new = with_value(STRATEGIES, ("strategies", "crypto/pov", "limits"), "narrow")
    for content in (old, new):
        content[STRATEGIES]["limit_sets"]["narrow"]["live_orders_max"] = 51

    assert effects(old, new) == {'strategies."crypto/pov".limits': LOOSENING}


def test_one_loosening_line_makes_the_whole_change_loosening() -> None:
    old, new = with_value(FIRM, ("firm", "live_orders_max"), 49)
    assert effect_of(changes(old, new)) is TIGHTENING
    new[FIRM]["firm"]["denied_count_max"] = 41

    found = changes(old, new)

    assert effect_of(found) is LOOSENING
    assert [one.sentence() for one in found] == [
        "limits/firm.toml: firm.denied_count_max: 40 -> 41 (smaller is tighter).",
        "limits/firm.toml: firm.live_orders_max: 50 -> 49 (smaller is tighter).",
    ]
