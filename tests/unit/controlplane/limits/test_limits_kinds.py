"""The table of limit kinds agrees with the snapshot it fills, the policies it reads and the denials it leads to."""

import dataclasses

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.scopes import CrossDimension, Level
from controlplane.gate.kernel.families.loading import CODES
from controlplane.gate.snapshot import NO_LIMIT, InstrumentLimits, InstrumentRules, NodeLimits, ParentLimits
from controlplane.limits.kinds import (
    INSTRUMENT_LIMITS,
    KINDS,
    PARENT_LIMITS,
    PRICE_LIMITS,
    SCOPE_LIMITS,
    Direction,
    Home,
    LimitKind,
    Unit,
)
from controlplane.policy import schema


def fields_of(table: type) -> set[str]:
    return {field.name for field in dataclasses.fields(table)}


@pytest.mark.parametrize(
    ("table", "kinds", "others"),
    [
        (NodeLimits, SCOPE_LIMITS, set()),
        (InstrumentLimits, INSTRUMENT_LIMITS, set()),
        (ParentLimits, PARENT_LIMITS, {"limits"}),
        (InstrumentRules, PRICE_LIMITS, {"instrument", "is_collar_one_sided", "static_reference_ticks"}),
    ],
)
def test_every_number_of_the_snapshot_is_a_kind_of_limit(
    table: type, kinds: tuple[LimitKind, ...], others: set[str]
) -> None:
    assert {kind.snapshot_field for kind in kinds} == fields_of(table) - others
    assert len({kind.snapshot_field for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("scope_kind", "table", "others"),
    [
        (Level.FIRM, schema.LevelScope, {"instruments"}),
        (Level.DESK, schema.DeskScope, {"instruments", "strategies", "beneficial_owner"}),
        (Level.STRATEGY, schema.LevelScope, {"instruments"}),
        (Level.MODEL, schema.LevelScope, {"instruments"}),
        (Level.PARENT, schema.ParentScope, {"children_max", "amends_max", "duplicate_orders_max", "same_rejects_max"}),
        (CrossDimension.INSTRUMENT, schema.InstrumentScope, set()),
        (CrossDimension.UNDERLYING, schema.UnderlyingScope, set()),
        (CrossDimension.VENUE, schema.VenueScope, {"instruments"}),
        (CrossDimension.COUNTERPARTY, schema.CounterpartyScope, {"instruments"}),
    ],
)
def test_a_policy_table_asks_for_exactly_the_kinds_that_have_a_meaning_there(
    scope_kind: int, table: type[schema.Table], others: set[str]
) -> None:
    wanted = {kind.policy_key for kind in SCOPE_LIMITS if kind.applies_to(scope_kind)}

    assert set(table.model_fields) - others == wanted


@pytest.mark.parametrize(
    ("scope_kind", "table"),
    [
        (Level.FIRM, schema.InstrumentLine),
        (Level.MODEL, schema.InstrumentLine),
        (CrossDimension.VENUE, schema.InstrumentLine),
        (CrossDimension.COUNTERPARTY, schema.CounterpartyLine),
    ],
)
def test_a_line_of_instrument_limits_asks_for_exactly_the_kinds_that_have_a_meaning_there(
    scope_kind: int, table: type[schema.Table]
) -> None:
    assert set(table.model_fields) == {kind.policy_key for kind in INSTRUMENT_LIMITS if kind.applies_to(scope_kind)}


def test_every_kind_has_a_name_of_its_own_and_a_sentence() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == 30
    assert all(kind.meaning.endswith(".") for kind in KINDS)
    assert {kind.home for kind in KINDS} == set(Home)


def test_a_kind_that_cannot_bind_leaves_a_value_that_binds_nobody() -> None:
    tighter_when_larger = {kind.name for kind in KINDS if kind.direction is Direction.LARGER_IS_TIGHTER}

    assert tighter_when_larger == {"message_reserve", "option_stress", "references"}
    assert all(kind.absent_value == (0 if kind.name in tighter_when_larger else NO_LIMIT) for kind in KINDS)


def test_units_stand_at_the_end_of_the_compiled_names() -> None:
    marks = {Unit.MICRO: "_micro", Unit.LOTS: "_lots", Unit.BPS: "_bps", Unit.NS: "_ns"}

    wrong = [kind.name for kind in KINDS if kind.unit in marks and marks[kind.unit] not in kind.snapshot_field]

    assert wrong == []


def test_every_limit_denial_of_this_table_is_fed_by_a_kind() -> None:
    fed = {kind.code for kind in KINDS} | set(CODES.values())  # by a limit, or by the threshold of a breaker
    about_limits = {code for code in DenialCode if code.name.endswith("_ABOVE_LIMIT")}

    assert about_limits <= fed
