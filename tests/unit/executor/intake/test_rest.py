"""A parent order from outside means exactly one thing, or gets one sentence that says what to put right."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import httpx2
import pytest

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import ControlPlaneError, GateUnavailable, InvalidRequest, UnknownReference
from controlplane.domain.orders import Side
from executor.intake.rest import BODY_BYTES_MAX, IntakeRules, accept_parent, create_app, parse_body
from tests.support.trading import ROUTE, VWAP_ROUTE, XYZ, rising_curve

FINE = replace(XYZ, name="FINE", lot_size=Decimal("0.001"), tick_size=Decimal("0.1"))
RULES = IntakeRules(
    instruments={"XYZ": XYZ, "FINE": FINE},
    routes=(
        ROUTE,
        replace(ROUTE, strategy="crypto/pov", model="crypto/pov/schedule"),
        replace(ROUTE, instrument="FINE"),
        replace(ROUTE, instrument="FINE", venue="OTHER"),
    ),
)
ORDER: dict[str, object] = {"instrument": "XYZ", "side": "sell", "quantity": "40", "strategy": "twap"}


def test_order_is_counted_in_lots_and_ticks_on_the_one_route_that_fits() -> None:
    instruction = accept_parent(
        ORDER
        | {
            "minutes": "1.5",
            "limit_price": "99.50",
            "participation_bps_max": 1000,
            "reference": "b-1",
            "entered_by": "Olga",
        },
        RULES,
    )

    assert (instruction.side, instruction.quantity_lots, instruction.limit_ticks) == (Side.SELL, 40, 9_950)
    assert (instruction.horizon_ns, instruction.participation_bps_max) == (90 * NS_PER_S, 1_000)
    assert instruction.route == ROUTE
    assert (instruction.reference, instruction.entered_by) == ("b-1", "Olga")


def test_body_and_fields_together_take_numbers_exactly() -> None:
    body = b'{"instrument":"FINE","venue":"SIM","side":"buy","quantity":0.003,"strategy":"crypto/twap",'
    body += b'"parameters":{"slices":7}}'

    instruction = accept_parent(parse_body(body), RULES)

    assert instruction.quantity_lots == 3
    assert instruction.parameters == (("slices", "7"),)


@pytest.mark.case("GATE-61")
@pytest.mark.parametrize(
    ("quantity", "says"),
    [
        *((word, "plain decimal digits") for word in ("NaN", "inf", "-inf", "", "1e5", "٤٠", "40 ", "+40", "0x40")),
        *((word, "must be positive") for word in ("-5", "0", "-0", "0.0")),
        ("40.5", "off the grid"), ("9" * 18, "largest value"), ("9" * 60, "plain decimal digits"),
        (True, "found bool"), (None, "found NoneType"), (["40"], "found list"), ({"n": 1}, "found dict"),
        (Decimal("1e308"), "plain decimal digits"), (Decimal("1e-400"), "plain decimal digits"),
    ],
)  # fmt: skip
def test_quantity_that_is_no_quantity_is_refused_by_name(quantity: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        accept_parent(ORDER | {"quantity": quantity}, RULES)

    assert caught.value.field == "quantity"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"side": "SELL"}, "side must be buy or sell"),
        ({"side": 1}, "side must be buy or sell"),
        ({"limit_price": "99.505"}, "off the grid"),
        ({"limit_price": "0"}, "above zero"),
        ({"limit_price": "-1"}, "above zero"),
        ({"minutes": "0"}, "above 0"),
        ({"minutes": "99999"}, "at most 1440"),
        ({"participation_bps_max": "12.5"}, "whole number"),
        ({"participation_bps_max": "0"}, "from 1 to 10000"),
        ({"reference": "../../etc/passwd"}, "reference must be"),
        ({"reference": "x" * 65}, "reference must be"),
        ({"entered_by": "a\nb"}, "must be a name"),
        ({"surprise": 1}, "'surprise' is no field"),
        ({"parameters": {"slices": "0"}}, "slices must be"),
        ({"parameters": {"no_such": "1"}}, "no_such"),
        ({"parameters": {"slices": True}}, "must be a number or text"),
        ({"parameters": "slices=1"}, "must be an object"),
        ({"parameters": {str(number): 1 for number in range(21)}}, "at most 20"),
    ],
)
def test_field_out_of_shape_or_range_is_refused_with_one_sentence(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        accept_parent(ORDER | changes, RULES)

    assert "\n" not in str(caught.value)


def test_vwap_is_taken_for_an_instrument_with_a_volume_curve_or_with_a_profile_and_refused_otherwise() -> None:
    routed = replace(RULES, routes=(VWAP_ROUTE, replace(VWAP_ROUTE, instrument="FINE")))
    rules = replace(routed, volume_curves={"XYZ": rising_curve()})
    order = ORDER | {"strategy": "vwap"}

    assert accept_parent(order, rules).parameters == ()
    assert accept_parent(order | {"instrument": "FINE", "parameters": {"profile": "1,1"}}, rules).parameters
    with pytest.raises(InvalidRequest, match="vwap needs the expected volume of FINE, found no volume_curve") as caught:
        accept_parent(order | {"instrument": "FINE"}, rules)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["instrument", "side", "quantity", "strategy"])
def test_missing_field_is_named(missing: str) -> None:
    with pytest.raises(InvalidRequest, match=f"needs the field '{missing}'"):
        accept_parent({name: value for name, value in ORDER.items() if name != missing}, RULES)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"instrument": "NOPE"}, "Instrument 'NOPE' is unknown; known are FINE, XYZ"),
        ({"strategy": "magic"}, "Strategy 'magic' is unknown"),
        ({"desk": "bonds"}, "No route of the limits in force has desk bonds, instrument XYZ, strategy twap"),
        ({"strategy": "vwap"}, "No route"),
    ],
)
def test_name_that_names_nothing_lists_what_is_there(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UnknownReference, match=says):
        accept_parent(ORDER | changes, RULES)


def test_order_that_fits_two_routes_is_asked_to_choose() -> None:
    with pytest.raises(InvalidRequest, match="2 routes carry FINE with twap; name desk, venue"):
        accept_parent(ORDER | {"instrument": "FINE"}, RULES)

    assert accept_parent(ORDER | {"instrument": "FINE", "venue": "OTHER"}, RULES).route.venue == "OTHER"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "one JSON object"),
        (b"{", "one JSON object"),
        (b"[1]", "found list"),
        (b'"x"', "found str"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"quantity":NaN}', "finite, found NaN"),
        (b'{"quantity":-Infinity}', "finite, found -Infinity"),
        (b'{"quantity":1,"quantity":2}', "'quantity' occurs twice"),
        (b'{"quantity":' + b"9" * 5_000 + b"}", "at most 40 characters"),
        (b'{"quantity":1' + b"0" * 50 + b".5}", "at most 40 characters"),
        (b" " * (BODY_BYTES_MAX + 1), "at most 16384 bytes"),
        (b"[" * 8_000, "nested too deeply|one JSON object"),
    ],
)
def test_body_that_is_no_parent_order_gets_one_sentence(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        parse_body(body)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"instrument":"XYZ"}', 202),
        (b'{"instrument":"XYZ","instrument":"FINE"}', 400),
        (b'{"quantity":NaN}', 400),
        (b"{", 400),
        (b" " * (BODY_BYTES_MAX + 1), 413),
        (b'{"instrument":"NOPE"}', 404),
        (b'{"instrument":"LATE"}', 503),
    ],
)
def test_web_door_answers_with_the_right_status(body: bytes, status: int) -> None:
    def hand_in(received: bytes) -> dict[str, object]:
        instrument = parse_body(received)["instrument"]
        failures: dict[object, ControlPlaneError] = {
            "NOPE": UnknownReference("no such instrument"),
            "LATE": GateUnavailable("the gate is away"),
        }
        if instrument in failures:
            raise failures[instrument]
        return {"parent_id": "0" * 16}

    async def post() -> int:
        transport = httpx2.ASGITransport(app=create_app(hand_in), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://intake") as client:
            answer = await client.post("/parents", content=body, headers={"content-type": "application/json"})
            return answer.status_code

    assert asyncio.run(post()) == status
