"""No hole loads: every limit kind at every level, every name, every key of the shipped rule book."""

import pytest

from controlplane.domain.errors import PolicyInvalid
from controlplane.domain.scopes import CrossDimension, Level, Route, ScopeKind
from controlplane.limits.kinds import INSTRUMENT_LIMITS, PARENT_LIMITS, SCOPE_LIMITS, LimitKind
from controlplane.policy.coverage import reachable
from controlplane.policy.load import parse_policies, policies_of
from controlplane.policy.schema import FILES
from tests.support.policies import (
    contents_of,
    key_paths,
    shipped_files,
    small_files,
    small_files_with,
    small_policies,
    without,
)

FIRM, DESKS, STRATEGIES = "limits/firm.toml", "limits/desks.toml", "limits/strategies.toml"

# Where the small rule book keeps the limits of each kind of scope. A strategy has the set `wide`, its model `narrow`.
TABLES: dict[ScopeKind, tuple[str, tuple[str, ...]]] = {
    Level.FIRM: (FIRM, ("firm",)),
    Level.DESK: (DESKS, ("desks", "crypto")),
    Level.STRATEGY: (STRATEGIES, ("limit_sets", "wide")),
    Level.MODEL: (STRATEGIES, ("limit_sets", "narrow")),
    Level.PARENT: (STRATEGIES, ("parent_limit_sets", "block")),
    CrossDimension.INSTRUMENT: (FIRM, ("instruments", "BTC-PERP")),
    CrossDimension.UNDERLYING: (FIRM, ("underlyings", "BTC")),
    CrossDimension.VENUE: (FIRM, ("venues", "SIM")),
    CrossDimension.COUNTERPARTY: (FIRM, ("counterparties", "SIM-CLEARING")),
}
SCOPE_HOLES = [
    pytest.param(*TABLES[scope_kind], kind, id=f"{kind.name}-{scope_kind.name}")
    for kind in (*SCOPE_LIMITS, *PARENT_LIMITS)
    for scope_kind in sorted(kind.scope_kinds)
]
INSTRUMENT_HOLES = [
    pytest.param(*TABLES[scope_kind], kind, id=f"{kind.name}-{scope_kind.name}")
    for kind in INSTRUMENT_LIMITS
    for scope_kind in sorted(kind.scope_kinds)
]
MEANINGLESS = [
    pytest.param(*TABLES[scope_kind], kind, id=f"{kind.name}-{scope_kind.name}")
    for kind in SCOPE_LIMITS
    for scope_kind in TABLES
    if not kind.applies_to(scope_kind)
]


def refusal(contents: dict[str, dict[str, object]]) -> str:
    with pytest.raises(PolicyInvalid) as refused:
        policies_of(contents)
    return str(refused.value)


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize(("file", "table", "kind"), SCOPE_HOLES)
def test_a_scope_without_one_kind_of_limit_refuses_to_load(file: str, table: tuple[str, ...], kind: LimitKind) -> None:
    holed = without(contents_of(small_files()), file, (*table, kind.policy_key))

    assert refusal(holed) == (
        f"{file}: {'.'.join(table)}.{kind.policy_key} is missing; write it, since nothing is assumed for it "
        "(a limit of 0 permits nothing)."
    )


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize(("file", "table", "kind"), INSTRUMENT_HOLES)
def test_an_instrument_without_one_kind_of_limit_in_a_scope_refuses_to_load(
    file: str, table: tuple[str, ...], kind: LimitKind
) -> None:
    path = (*table, "instruments", "BTC-PERP", kind.policy_key)

    message = refusal(without(contents_of(small_files()), file, path))

    assert message.startswith(f"{file}: {'.'.join(path)} is missing; write it")


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize(
    "scope_kind", [scope_kind for scope_kind in TABLES if INSTRUMENT_LIMITS[0].applies_to(scope_kind)]
)
def test_a_scope_without_any_limit_in_a_reachable_instrument_refuses_to_load(scope_kind: ScopeKind) -> None:
    file, table = TABLES[scope_kind]

    message = refusal(without(contents_of(small_files()), file, (*table, "instruments", "ETH-CALL")))

    assert message == (
        f"{file}: {'.'.join(table)}.instruments.ETH-CALL is missing, and a missing limit is not unlimited; add the "
        f'line (zeros permit nothing) or take the instrument from strategies."crypto/twap" in {STRATEGIES}.'
    )


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize(
    ("file", "table", "name", "meaning"),
    [
        (FIRM, "instruments", "ETH-PERP", "limits over all desks"),
        (FIRM, "underlyings", "ETH", "limits as an underlying"),
        (FIRM, "venues", "SIM", "limits as a venue"),
        (FIRM, "counterparties", "SIM-CLEARING", "limits as a counterparty"),
        ("limits/collars.toml", "instruments", "ETH-PERP", "price rules"),
    ],
)
def test_a_name_left_out_of_a_table_of_limits_refuses_to_load(file: str, table: str, name: str, meaning: str) -> None:
    message = refusal(without(contents_of(small_files()), file, (table, name)))

    assert message == f'{file}: {table}.{name} is missing, so "{name}" would have no {meaning}; add the table.'


@pytest.mark.parametrize(("file", "table", "kind"), MEANINGLESS)
def test_a_limit_where_its_kind_has_no_meaning_is_refused(file: str, table: tuple[str, ...], kind: LimitKind) -> None:
    contents = contents_of(small_files())
    scope = contents[file]
    for key in table:
        scope = scope[key]  # type: ignore[assignment]
    scope[kind.policy_key] = "1"

    assert f"{file}: {'.'.join(table)}.{kind.policy_key} is no known key" in refusal(contents)


SHIPPED_KEYS = [(file, path) for file, content in contents_of(shipped_files()).items() for path in key_paths(content)]


@pytest.mark.case("GATE-125")
@pytest.mark.parametrize("file", sorted(FILES))
def test_no_key_of_the_shipped_rule_book_can_be_left_out(file: str) -> None:
    whole = contents_of(shipped_files())
    paths = [path for name, path in SHIPPED_KEYS if name == file]

    taken = [path for path in paths if _is_taken(without(whole, file, path))]

    assert taken == []
    assert len(paths) >= 2


def _is_taken(contents: dict[str, dict[str, object]]) -> bool:
    try:
        policies_of(contents)
    except PolicyInvalid:
        return False
    return True


def test_the_keys_called_optional_may_be_left_out() -> None:
    contents = contents_of(small_files())
    contents = without(contents, "instruments.toml", ("instruments", "ETH-CALL", "tick_bands"))
    contents = without(contents, "limits/collars.toml", ("instruments", "ETH-PERP", "static_reference"))

    policies = policies_of(contents)

    assert policies.instruments["ETH-CALL"].tick_bands == ()
    assert policies.collars["ETH-PERP"].static_reference is None


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("instruments.toml", 'calendar = "always"', 'calendar = "XLON"', 'instruments.BTC-PERP.calendar names "XLON"'),
        ("instruments.toml", '= "USDT"\nsettlement', '= "EUR"\nsettlement', "must be linear payoff settled in"),
        (
            "instruments.toml",
            'settlement_currency = "BTC"',
            'settlement_currency = "EUR"',
            'names "EUR", which currencies',
        ),
        (
            "instruments.toml",
            '_instrument = "ETH-PERP"',
            '_instrument = "ETH"',
            'option.underlying_instrument names "ETH"',
        ),
        (
            "instruments.toml",
            '_instrument = "ETH-PERP"',
            '_instrument = "BTC-PERP"',
            "must be a linear instrument on ETH",
        ),
        ("instruments.toml", '_instrument = "ETH-PERP"', '_instrument = "ETH-CALL"', "and no option itself"),
        ("venues.toml", '"ETH-CALL"]', '"ETH-PUT"]', 'venues.SIM.instruments names "ETH-PUT"'),
        ("venues.toml", '["SIM-CLEARING"]', '["CCP"]', 'venues.SIM.counterparties names "CCP"'),
        (FIRM, "restricted_instruments = []", 'restricted_instruments = ["X"]', 'restricted_instruments names "X"'),
        (FIRM, "BTC-PERP = {", "DOGE-PERP = {", 'firm.instruments names "DOGE-PERP"'),
        (FIRM, "[underlyings.ETH]", "[underlyings.DOGE]", 'underlyings names "DOGE"'),
        (DESKS, '"crypto/pov"]', '"crypto/vwap"]', 'desks.crypto.strategies names "crypto/vwap"'),
        (DESKS, '"crypto/pov"]', "]", 'one desk must list the strategy "crypto/pov", none does'),
        (STRATEGIES, '"ETH-CALL"]', '"ETH-PUT"]', 'strategies."crypto/twap".instruments names "ETH-PUT"'),
        (STRATEGIES, 'venues = ["SIM"]', 'venues = ["OTHER"]', 'strategies."crypto/twap".venues names "OTHER"'),
        (STRATEGIES, 'limits = "wide"', 'limits = "wider"', 'strategies."crypto/twap".limits names "wider"'),
        (
            STRATEGIES,
            'parent_limits = "block"',
            'parent_limits = "b"',
            'strategies."crypto/twap".parent_limits names "b"',
        ),
        (STRATEGIES, "impact =", "magic =", 'strategies."crypto/pov".models names "magic"'),
        (STRATEGIES, 'impact = "narrow"', 'impact = "x"', 'strategies."crypto/pov".models.impact names "x"'),
        ("limits/collars.toml", "[instruments.ETH-CALL]", "[instruments.ETH-PUT]", 'instruments names "ETH-PUT"'),
        ("limits/collars.toml", "option_stress_bps = 2500", "", "instruments.ETH-CALL needs option_stress_bps"),
        (
            "limits/collars.toml",
            '"2500"\n',
            '"2500"\noption_stress_bps = 1\n',
            "ETH-PERP must not have option_stress_bps",
        ),
        ("limits/collars.toml", '= "2500"', '= "2500.001"', "is off the grid of 0.01"),
        ("governance.toml", "[models.impact]", '[models."a/b"]', 'strategies."crypto/pov".models names "impact"'),
    ],
)
def test_a_name_that_leads_nowhere_or_contradicts_is_refused(file: str, old: str, new: str, sentence: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        parse_policies(small_files_with(file, old, new))

    assert sentence in str(refused.value)
    assert str(refused.value).splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("file", "table", "name", "sentence"),
    [
        (FIRM, "counterparties", "SIM-CLEARING", f'{FIRM}: counterparties names "renamed", which venues.toml'),
        (FIRM, "venues", "SIM", f'{FIRM}: venues names "renamed", which venues.toml'),
        (DESKS, "desks", "crypto", 'the strategy "crypto/twap" must be named renamed/ and one word; rename it.'),
        (STRATEGIES, "limit_sets", "narrow", 'strategies."crypto/twap".models.schedule names "narrow", which'),
        (STRATEGIES, "strategies", "crypto/pov", f'{DESKS}: desks.crypto.strategies names "crypto/pov", which'),
        ("governance.toml", "models", "schedule", 'strategies."crypto/twap".models names "schedule", which governance'),
        ("currencies.toml", "currencies", "USDT", 'instruments.BTC-PERP.currency names "USDT", which currencies.toml'),
    ],
)
def test_a_table_renamed_in_one_file_alone_is_refused(file: str, table: str, name: str, sentence: str) -> None:
    contents = contents_of(small_files())
    named = contents[file][table]
    assert isinstance(named, dict)
    named["renamed"] = named.pop(name)

    assert sentence in refusal(contents)


def test_an_instrument_that_no_venue_of_its_strategy_lists_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match=r'may trade "ETH-CALL", which none of its venues lists; add a venue'):
        parse_policies(small_files_with("venues.toml", ', "ETH-CALL"]', "]"))


def test_a_strategy_of_two_desks_is_refused() -> None:
    contents = contents_of(small_files())
    desks = contents[DESKS]["desks"]
    assert isinstance(desks, dict)
    desks["rates"] = desks["crypto"]

    assert 'exactly one desk must list the strategy "crypto/pov", crypto and rates do' in refusal(contents)


def test_a_set_that_binds_nobody_is_refused() -> None:
    contents = contents_of(small_files())
    for table, chosen in (("limit_sets", "wide"), ("parent_limit_sets", "block")):
        sets = contents[STRATEGIES][table]
        assert isinstance(sets, dict)
        sets["spare"] = sets[chosen]

    assert refusal(contents).splitlines() == [
        f"{STRATEGIES}: limit_sets.spare binds no strategy; use it or remove it.",
        f"{STRATEGIES}: parent_limit_sets.spare binds no strategy; use it or remove it.",
    ]


def test_a_quantity_beyond_what_can_be_counted_in_lots_is_refused() -> None:
    files = small_files_with(DESKS, 'position_long_max = "100"', 'position_long_max = "1099511628"')

    with pytest.raises(PolicyInvalid) as refused:
        parse_policies(files)

    assert str(refused.value) == (
        f"{DESKS}: desks.crypto.instruments.BTC-PERP.position_long_max is more than 1099511627776 lots; "
        "write a smaller limit."
    )


@pytest.mark.case("GATE-109")
def test_limits_of_children_may_add_up_to_more_than_those_of_their_parent() -> None:
    files = small_files_with(DESKS, 'gross_notional_max = "10000000"', 'gross_notional_max = "1"')

    assert parse_policies(files).desks["crypto"].gross_notional_max == 1


def test_every_route_that_the_allow_lists_open_is_reachable_and_no_other() -> None:
    routes = list(reachable(small_policies()))

    assert [(route.strategy, route.model, route.instrument) for route in routes] == [
        ("crypto/pov", "crypto/pov/impact", "BTC-PERP"),
        ("crypto/pov", "crypto/pov/schedule", "BTC-PERP"),
        ("crypto/twap", "crypto/twap/schedule", "BTC-INVERSE"),
        ("crypto/twap", "crypto/twap/schedule", "BTC-PERP"),
        ("crypto/twap", "crypto/twap/schedule", "ETH-CALL"),
        ("crypto/twap", "crypto/twap/schedule", "ETH-PERP"),
    ]
    assert routes[0] == Route("crypto", "crypto/pov", "crypto/pov/impact", "BTC-PERP", "SIM", "SIM-CLEARING")
