"""Units and valuation: exact, rounded against us, and nothing that isn't a plain number reaches a comparison."""

import dataclasses
from decimal import Decimal

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import InvalidRequest, PolicyInvalid
from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import OrderType
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, parse_decimal, to_units
from controlplane.gate.snapshot import CurrencyRate, Snapshot
from controlplane.gate.words import command_words
from controlplane.limits.compile import compile_snapshot
from controlplane.policy.load import parse_policies
from tests.support.builders import (
    CALL,
    INVERSE,
    LOT_MICRO,
    PRICE,
    ROUTE,
    book,
    order_command,
    rate,
    roomy_snapshot,
    tightened,
    with_rules,
)
from tests.support.policies import AS_OF_NS, small_files_with, small_snapshot
from tests.support.rig import OpenRig, Rig

DESK = "desk:crypto"
SECOND = 1_000_000_000
RATE_AGE_NS_MAX = 60 * SECOND
INT64_MAX = (1 << 63) - 1


def open_notional(rig: Rig) -> int:
    return int(rig.row("open_notional", DESK)["reserved"])


# --- multipliers, inverse contracts, options --------------------------------------------------------------------------


@pytest.mark.case("GATE-50")
@pytest.mark.parametrize(("multiplier", "worth"), [("10", 10 * LOT_MICRO), ("0.001", LOT_MICRO // 1_000)])
def test_value_uses_the_multiplier(open_rig: OpenRig, multiplier: str, worth: int) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), multiplier=Decimal(multiplier)))
    rig.quote(PRICE - 2, PRICE)

    assert rig.buy(7).is_allowed

    assert open_notional(rig) == 7 * worth


def open_inverse(open_rig: OpenRig, *, bid: int, coin_micro: int, snapshot: Snapshot | None = None) -> Rig:
    """Return a gate with a market of the inverse contract, 100 USD a lot, and a worth of its coin."""
    rig = open_rig(snapshot)
    rig.gate.observe(rate(coin_micro))
    rig.open_market(instrument="BTC-INVERSE", price=bid + 1)
    return rig


@pytest.mark.case("GATE-51")
def test_ten_thousand_dollars_of_inverse_contracts_at_fifty_thousand_are_a_fifth_of_a_coin(open_rig: OpenRig) -> None:
    rig = open_inverse(open_rig, bid=500_000, coin_micro=1_000_000)

    assert rig.sell(100, price=500_000, on=INVERSE).is_allowed

    assert open_notional(rig) == 200_000


@pytest.mark.case("GATE-51")
def test_exposure_of_an_inverse_contract_rises_as_its_price_falls(open_rig: OpenRig) -> None:
    rig = open_inverse(open_rig, bid=500_000, coin_micro=1_000_000)
    rig.hold(100, price=500_000, on=INVERSE)
    before = rig.used("gross_notional", DESK)

    rig.quote(400_000, 400_002, instrument="BTC-INVERSE")

    assert before == 200_000
    assert rig.used("gross_notional", DESK) == 250_000


@pytest.mark.case("GATE-51")
def test_inverse_order_above_the_market_is_valued_at_the_lowest_price_it_could_have(open_rig: OpenRig) -> None:
    rig = open_inverse(open_rig, bid=500_000, coin_micro=1_000_000)

    assert rig.buy(100, price=510_000, on=INVERSE).is_allowed

    assert open_notional(rig) == 200_000


@pytest.mark.case("GATE-51")
def test_worth_of_the_coin_is_applied_once_and_rounded_up(open_rig: OpenRig) -> None:
    rig = open_inverse(open_rig, bid=500_000, coin_micro=50_000_000_001)

    assert rig.sell(100, price=500_000, on=INVERSE).is_allowed

    assert open_notional(rig) == 10_000_000_001


@pytest.mark.case("GATE-52")
@pytest.mark.parametrize("order_type", OrderType)
def test_inverse_order_at_no_price_is_denied_and_nothing_is_divided(open_rig: OpenRig, order_type: OrderType) -> None:
    rig = open_inverse(open_rig, bid=500_000, coin_micro=1_000_000)

    verdict = rig.buy(100, price=0, on=INVERSE, order_type=order_type)

    assert not verdict.is_allowed
    assert open_notional(rig) == 0


@pytest.mark.case("GATE-52")
def test_inverse_order_without_any_reference_is_denied(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.gate.observe(rate(1_000_000))

    verdict = rig.buy(100, price=500_000, on=INVERSE)

    assert DenialCode.REFERENCE_MISSING in verdict.codes


@pytest.mark.case("GATE-53")
@pytest.mark.parametrize("settled_in", ["USD", "BTC"])
def test_contract_settled_in_a_third_currency_refuses_to_load(settled_in: str) -> None:
    old = 'contract = "perpetual"\npayoff = "linear"\ncurrency = "USDT"\nsettlement_currency = "USDT"'

    with pytest.raises(PolicyInvalid, match="linear payoff settled in `currency`"):
        parse_policies(
            small_files_with(
                "instruments.toml", old, old.replace('nt_currency = "USDT"', f'nt_currency = "{settled_in}"')
            )
        )


def test_short_option_is_worth_its_stressed_underlying_and_never_its_premium(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.open_market(instrument="ETH-CALL", price=1_000)
    rig.quote(250_000, 250_002, instrument="ETH-PERP")

    assert rig.sell(4, price=1_000, on=CALL).is_allowed

    stressed_usd_micro = (250_002 + 62_501) * 10_000  # 25 % of 2,500.02 USD, up to the tick; ticks of 0.01 USD
    assert open_notional(rig) == 4 * stressed_usd_micro


def test_short_option_without_a_price_of_its_underlying_is_denied(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.open_market(instrument="ETH-CALL", price=1_000)

    assert rig.sell(4, price=1_000, on=CALL).codes == (DenialCode.REFERENCE_MISSING,)
    assert rig.buy(4, price=1_000, on=CALL).is_allowed


def test_market_order_is_valued_at_its_protection_limit(open_rig: OpenRig) -> None:
    rig = open_rig()

    assert rig.buy(10, price=PRICE + 1_000, order_type=OrderType.MARKET).is_allowed

    assert open_notional(rig) == 10 * (PRICE + 1_000) * 100


def test_linear_order_below_the_market_is_valued_at_the_market(open_rig: OpenRig) -> None:
    rig = open_rig()

    assert rig.buy(10, price=PRICE - 1_000).is_allowed

    assert open_notional(rig) == 10 * (PRICE + 1) * 100


def test_stop_is_valued_at_the_worse_of_trigger_and_limit(open_rig: OpenRig) -> None:
    rig = open_rig()

    assert rig.buy(10, price=PRICE + 50, order_type=OrderType.STOP, trigger_ticks=PRICE + 90).is_allowed

    assert open_notional(rig) == 10 * (PRICE + 90) * 100


# --- rates ------------------------------------------------------------------------------------------------------------


def observed_usdt() -> Snapshot:
    """Return the limits with a dollar token whose worth has to be observed."""
    snapshot = roomy_snapshot()
    others = tuple(own for own in snapshot.rates if own.currency != "USDT")
    return dataclasses.replace(snapshot, rates=(*others, CurrencyRate("USDT")))


@pytest.mark.case("GATE-55")
@pytest.mark.parametrize("stated", [None, 0, -1])
def test_order_in_a_currency_without_a_rate_is_denied(open_rig: OpenRig, stated: int | None) -> None:
    rig = open_rig(observed_usdt())
    if stated is not None:
        rig.gate.observe(rate(stated, currency="USDT"))

    verdict = rig.buy()

    assert verdict.codes == (DenialCode.RATE_MISSING,)
    assert verdict.largest_passing_lots == 0


@pytest.mark.case("GATE-55")
@pytest.mark.parametrize(
    ("age_ns", "codes"), [(RATE_AGE_NS_MAX, ()), (RATE_AGE_NS_MAX + 1, (DenialCode.RATE_MISSING,))]
)
def test_rate_is_good_until_its_last_nanosecond_and_no_longer(
    open_rig: OpenRig, age_ns: int, codes: tuple[DenialCode, ...]
) -> None:
    rig = open_rig(observed_usdt())
    rig.gate.observe(rate(1_000_000, currency="USDT"))

    rig.clock.advance(age_ns)
    rig.open_market()

    assert rig.buy().codes == codes


@pytest.mark.case("GATE-55")
def test_zero_after_a_good_rate_leaves_the_good_one_to_grow_old(open_rig: OpenRig) -> None:
    rig = open_rig(observed_usdt())
    rig.gate.observe(rate(2_000_000, currency="USDT"))

    rig.gate.observe(rate(0, currency="USDT"))

    assert rig.buy(10).is_allowed
    assert open_notional(rig) == 10 * 2 * (PRICE + 1) * 100


def test_fixed_rate_never_grows_old_and_is_not_observed(rig: Rig) -> None:
    rig.gate.observe(rate(2_000_000, currency="USDT"))
    rig.clock.advance(3_600 * SECOND)
    rig.open_market()

    assert rig.buy(10).is_allowed
    assert open_notional(rig) == 10 * (PRICE + 1) * 100


# --- rounding ---------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-58")
@pytest.mark.parametrize(("limit", "is_allowed"), [(60_000, False), (60_001, True)])
def test_worth_between_two_millionths_counts_as_the_higher_one(open_rig: OpenRig, limit: int, is_allowed: bool) -> None:
    tenth_of_a_micro = with_rules(roomy_snapshot(), multiplier=Decimal("0.001"))
    rig = open_rig(tightened(tenth_of_a_micro, DESK, order_notional_micro_max=limit))
    rig.quote(PRICE - 1, PRICE + 1)

    verdict = rig.buy(1, price=PRICE + 1)  # 60,000.1 millionths

    assert verdict.is_allowed is is_allowed


@pytest.mark.case("GATE-58")
def test_limit_of_a_policy_is_rounded_down_to_what_the_gate_can_count() -> None:
    files = small_files_with("limits/desks.toml", 'order_notional_max = "1000000"', 'order_notional_max = "0.0000019"')

    snapshot = compile_snapshot(parse_policies(files), as_of_ns=AS_OF_NS, version=1)

    desk = next(node for node in snapshot.nodes if str(node.scope) == DESK)
    assert desk.limits.order_notional_micro_max == 1


# --- what comes from outside ------------------------------------------------------------------------------------------

NASTY = [
    float("nan"), float("inf"), float("-inf"), 1.5, -0.0, 5e-324, 1e308, True, False, None, [], {}, b"1", object(),
    "", " ", "NaN", "nan", "Infinity", "-inf", "1e5", "1E5", "1e308", "1e-400", "0x10", "1_000", "+1", " 1", "1 ",
    "1\n", "\n1", ".5", "5.", "01", "1,5", "1.2.3", "--1", "-", "1" + "0" * 30, "0." + "0" * 30 + "1", "٣", "１２", "௧",
    "²", "1\u00a0", "1\0", "½", 10**30, -(10**30), 10**5_000, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
    Decimal("1e400"), Decimal("1e999999"), Decimal("1e-400"), Decimal("1e-999999"), Decimal("1e999999999"),
    Decimal(10) ** 30,
]  # fmt: skip
EXACT = [
    ("0", 0), ("-0", 0), ("1", 1), ("1.25", Decimal("1.25")), ("-1.5", Decimal("-1.5")), (7, 7), (-7, -7),
    (Decimal("-0.0"), 0), (Decimal("1e3"), 1_000), (Decimal("0.10"), Decimal("0.1")),
    ("999999999999999999", 999_999_999_999_999_999), ("0.000000000000000001", Decimal("1e-18")),
]  # fmt: skip


def instrument(name: str = "BTC-PERP") -> Instrument:
    return next(rule.instrument for rule in small_snapshot().instruments if rule.instrument.name == name)


def named(value: object) -> str:
    return (
        f"{type(value).__name__} {str(value)[:20] if not isinstance(value, int) or abs(value) < 10**40 else 'huge'!r}"
    )


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize("value", NASTY, ids=named)
def test_what_is_no_plain_number_is_refused_with_the_name_of_its_field(value: object) -> None:
    for parse in (parse_decimal, instrument().price_ticks, instrument().quantity_lots):
        with pytest.raises(InvalidRequest, match="limit_price must be") as refusal:
            parse(value, field="limit_price")
        assert refusal.value.field == "limit_price"
        assert len(str(refusal.value)) < 300


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize(("value", "exact"), EXACT, ids=[str(value) for value, _ in EXACT])
def test_plain_number_is_parsed_exactly(value: object, exact: Decimal | int) -> None:
    parsed = parse_decimal(value, field="price")

    assert parsed == exact
    assert parsed.is_finite()


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize(
    ("value", "ticks"),
    [("60000", 600_000), ("60000.1", 600_001), ("0", 0), ("-0", 0), ("-5.0", -50), (Decimal("1e3"), 10_000)],
)
def test_price_on_the_grid_becomes_ticks_exactly(value: object, ticks: int) -> None:
    found = instrument().price_ticks(value)

    assert found == ticks
    assert type(found) is int


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize("value", ["60000.15", "0.01", "60000.100000000000000001", "99999999999999999.99"])
def test_price_between_two_ticks_is_refused_with_its_neighbours(value: str) -> None:
    with pytest.raises(InvalidRequest, match="the nearest values are"):
        instrument().price_ticks(value)


@pytest.mark.case("GATE-61")
def test_value_beside_a_fine_grid_is_not_taken_for_one_on_it() -> None:
    """With 28 digits, the product of this step and a million million rounds to a value that lies beside the grid."""
    step = Decimal("0.123456789012345678")

    with pytest.raises(InvalidRequest, match="off the grid"):
        to_units(Decimal("123456789012.4691347890123457"), step, field="price", cap=PRICE_TICKS_CAP)


@pytest.mark.case("GATE-61")
def test_price_or_quantity_beyond_what_the_gate_accepts_is_refused() -> None:
    found = instrument()

    with pytest.raises(InvalidRequest, match="beyond the largest value the gate accepts"):
        found.price_ticks(found.price(PRICE_TICKS_CAP + 1))
    with pytest.raises(InvalidRequest, match="beyond the largest value the gate accepts"):
        found.quantity_lots(found.quantity(QUANTITY_LOTS_CAP + 1))
    assert found.price_ticks(found.price(PRICE_TICKS_CAP)) == PRICE_TICKS_CAP
    assert found.quantity_lots(found.quantity(QUANTITY_LOTS_CAP)) == QUANTITY_LOTS_CAP


@pytest.mark.case("GATE-63")
@pytest.mark.parametrize("value", ["0", "-1", "-0", "0.0", Decimal(0), -5])
def test_quantity_that_is_not_positive_is_refused_at_the_door(value: object) -> None:
    with pytest.raises(InvalidRequest, match="quantity must be"):
        instrument().quantity_lots(value)


@pytest.mark.case("GATE-63")
@pytest.mark.parametrize("lots", [0, -1, -(1 << 62), -(1 << 63)])
def test_quantity_that_is_not_positive_is_malformed_for_the_gate(rig: Rig, lots: int) -> None:
    assert rig.buy(lots).codes == (DenialCode.MALFORMED_REQUEST,)


@pytest.mark.case("GATE-63")
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("limits/firm.toml", 'order_notional_max = "1000000"', 'order_notional_max = "-1"'),
        ("limits/desks.toml", "live_orders_max = 50", "live_orders_max = -1"),
        ("limits/firm.toml", 'order_quantity_max = "20"', 'order_quantity_max = "-20"'),
        ("limits/collars.toml", "collar_bps = 500", "collar_bps = -500"),
        ("limits/firm.toml", 'gross_notional_max = "10000000"', 'gross_notional_max = "NaN"'),
        ("limits/firm.toml", 'gross_notional_max = "10000000"', "gross_notional_max = inf"),
        ("limits/firm.toml", 'gross_notional_max = "10000000"', "gross_notional_max = 1e7"),
        ("limits/firm.toml", 'gross_notional_max = "10000000"', 'gross_notional_max = "1e7"'),
    ],
)
def test_policy_with_a_negative_or_unreal_limit_refuses_to_load(file: str, old: str, new: str) -> None:
    with pytest.raises(PolicyInvalid):
        parse_policies(small_files_with(file, old, new))


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize("nasty", [-(1 << 63), -(1 << 62), -1, 1 << 40, (1 << 40) + 1, 1 << 62, INT64_MAX])
def test_no_word_of_an_order_can_upset_the_gate(rig: Rig, nasty: int) -> None:
    """Whatever stands in one word of a request, the answer is a verdict, and nothing absurd is reserved."""
    for word in range(3, 16):
        words = list(command_words(rig.order()))
        words[word] = nasty
        rig.gate.apply(words)

    assert sum(order.reserved_lots for order in rig.gate.working()) <= 13 * 10
    assert rig.buy(10).is_allowed


@pytest.mark.case("GATE-61")
def test_every_kind_and_every_type_of_order_gets_a_verdict(rig: Rig) -> None:
    for kind in range(256):
        for type_and_force in (0, 1, 4, 0x100, 0x401, 0x501, 0x404, 0xFF01, -1):
            words = list(command_words(rig.order()))
            words[0] = 1 | kind << 8
            words[8] = type_and_force
            rig.gate.apply(words)

    outcomes = rig.gate.control("status", {})["decisions"]
    assert set(outcomes) == {"ALLOWED", "DENIED"}
    assert sum(outcomes.values()) == 256 * 9


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize("nasty", [-(1 << 63), -1, 1 << 62, INT64_MAX])
def test_no_word_of_an_observation_can_upset_the_gate(rig: Rig, nasty: int) -> None:
    for kind in range(2, 12):
        for word in range(3, 16):
            words = [kind, *[0] * 15]
            words[word] = nasty
            rig.gate.apply(words)
    rig.clock.advance(SECOND)
    rig.open_market()

    verdict = rig.buy(10)

    assert verdict.is_allowed, verdict.explanation


def test_commands_of_the_builders_are_well_formed() -> None:
    assert order_command().request_id == order_command().child_id
    assert book().ask_ticks - book().bid_ticks == 2
    assert ROUTE.instrument == "BTC-PERP"
