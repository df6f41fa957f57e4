"""Parent orders from outside: the shape every door checks, and the small web door itself.

`accept_parent` is shared by the web, the spool folder and the command line, so that an order means the same however it
came in. It looks at shape, units and ranges only; whether the order may trade is the gate's question.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NoReturn

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import InvalidRequest, UnknownReference
from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import Side
from controlplane.domain.quantities import parse_decimal
from controlplane.domain.scopes import Route
from executor.engine.events import ParentInstruction, strategy_name
from executor.strategies.table import STRATEGIES, check_order
from executor.strategies.volume_curve import VolumeCurve

if TYPE_CHECKING:
    from fastapi import FastAPI

BODY_BYTES_MAX = 16_384
"""A parent order is a dozen short fields; anything longer is a mistake or an attack."""

MINUTES_MAX = 24 * 60
NUMBER_CHARACTERS_MAX = 40
PARTICIPATION_BPS_MAX = 10_000
PARAMETERS_MAX = 20

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
REQUIRED = ("instrument", "side", "quantity", "strategy")
OPTIONAL = (
    "minutes",
    "reference",
    "limit_price",
    "decision_price",
    "participation_bps_max",
    "parameters",
    "desk",
    "model",
    "venue",
    "counterparty",
    "entered_by",
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:@/+-]{0,63}", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What a parent order may name, and what stands where it names nothing.

    Fields
        instruments   every instrument of the limits in force, by name
        routes        the routes the limits allow
        minutes       horizon of an order that states none
        volume_curves the expected volume of instruments, by name; those without one are left out
    """

    instruments: Mapping[str, Instrument]
    routes: tuple[Route, ...]
    minutes: Decimal = Decimal(10)
    volume_curves: Mapping[str, VolumeCurve] = field(default_factory=dict)


def parse_body(body: bytes) -> dict[str, object]:
    """Return the fields of a JSON object, numbers as exact decimals.

    Errors
        InvalidRequest for an oversized body, bytes that aren't UTF-8, malformed JSON, NaN and infinity, a key that
        occurs twice, a number too long to be one, anything nested too deeply, or a document that is no object
    """
    if len(body) > BODY_BYTES_MAX:
        raise InvalidRequest(
            f"A parent order is at most {BODY_BYTES_MAX} bytes of JSON, found {len(body)}; send the fields alone."
        )
    try:
        fields = json.loads(
            body.decode("utf-8"),
            parse_float=_exact_number,
            parse_int=_exact_number,
            parse_constant=_no_number,
            object_pairs_hook=_without_repeats,
        )
    except UnicodeDecodeError:
        raise InvalidRequest("A parent order must be UTF-8 text; the bytes sent are not.") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"A parent order must be one JSON object; line {error.lineno}, column {error.colno}: {error.msg.lower()}."
        ) from None
    except RecursionError:
        raise InvalidRequest("A parent order is a flat JSON object; the one sent is nested too deeply.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest(f"A parent order must be one JSON object, found {type(fields).__name__}.")
    return fields


def accept_parent(fields: Mapping[str, object], rules: IntakeRules) -> ParentInstruction:
    """Return the parent order in ticks and lots; the caller gives it its identifier and records it.

    Arguments
        fields  names and values as they came from outside
        rules   instruments, strategies and routes that exist
    Errors
        InvalidRequest     a field missing, unknown, malformed, out of range or off the grid; the message names it
        UnknownReference   an instrument, strategy or route that the limits in force don't have
    """
    _check_names(fields)
    instrument_name = _name(fields, "instrument")
    instrument = rules.instruments.get(instrument_name)
    if instrument is None:
        raise UnknownReference(f"Instrument {instrument_name!r} is unknown; known are {_listed(rules.instruments)}.")
    return ParentInstruction(
        reference=reference_of(fields),
        route=_route(fields, rules, instrument_name),
        side=_side(fields),
        quantity_lots=instrument.quantity_lots(fields["quantity"]),
        horizon_ns=_horizon_ns(fields, rules),
        limit_ticks=_price_ticks(fields, "limit_price", instrument),
        participation_bps_max=_participation_bps_max(fields),
        parameters=_parameters(fields, rules),
        decision_ticks=_price_ticks(fields, "decision_price", instrument),
        entered_by=_name(fields, "entered_by") if "entered_by" in fields else "",
    )


def create_app(hand_in: Callable[[bytes], Mapping[str, object]]) -> "FastAPI":
    """Return the web door: `POST /parents` hands the body in and answers with the parent's identifier.

    Arguments
        hand_in  takes the raw body, returns the answer, raises RequestError or DependencyError
    """
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from starlette.concurrency import run_in_threadpool

    from controlplane.runtime.http import UnsupportedBody, install

    app = FastAPI(title="Executor intake", docs_url=None, redoc_url=None)

    @app.post("/parents", status_code=202)
    async def post_parent(request: Request) -> JSONResponse:
        """Hand in one parent order; 202 with its identifier, or the reason it was not taken."""
        media_type = request.headers.get("content-type", "")
        if media_type.partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedBody(
                f"Expected a body of type application/json, found {media_type[:80]!r}; say so in Content-Type."
            )
        answer = await run_in_threadpool(hand_in, await request.body())
        return JSONResponse(dict(answer), status_code=202)

    install(app, body_bytes_max=BODY_BYTES_MAX)
    return app


def _check_names(fields: Mapping[str, object]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for name in fields:
        if name not in known:
            raise InvalidRequest(
                f"{name[:40]!r} is no field of a parent order; fields are {', '.join(known)}.", field=name[:40]
            )
    for name in REQUIRED:
        if name not in fields:
            raise InvalidRequest(
                f"A parent order needs the field {name!r}; required are {', '.join(REQUIRED)}.", field=name
            )


def _route(fields: Mapping[str, object], rules: IntakeRules, instrument: str) -> Route:
    """Return the one allowed route that matches every name the order gives."""
    strategy = _name(fields, "strategy")
    if strategy_name(strategy) not in STRATEGIES:
        raise UnknownReference(f"Strategy {strategy!r} is unknown; known are {_listed(STRATEGIES)}.")
    wanted = {name: _name(fields, name) for name in ("desk", "model", "venue", "counterparty") if name in fields}
    wanted |= {"instrument": instrument}
    matching = [
        route
        for route in rules.routes
        if strategy in (route.strategy, strategy_name(route.strategy))
        and all(getattr(route, name) == value for name, value in wanted.items())
    ]
    if not matching:
        asked = ", ".join(f"{name} {value}" for name, value in (*sorted(wanted.items()), ("strategy", strategy)))
        raise UnknownReference(f"No route of the limits in force has {asked}; add one to the policies or name another.")
    if len(matching) > 1:
        raise InvalidRequest(
            f"{len(matching)} routes carry {instrument} with {strategy}; name desk, venue, model or counterparty, "
            f"for example desk {matching[0].desk} and venue {matching[0].venue}.",
            field="venue",
        )
    return matching[0]


def _side(fields: Mapping[str, object]) -> Side:
    value = fields["side"]
    if not isinstance(value, str) or value not in SIDES:
        raise InvalidRequest(f"side must be buy or sell, found {str(value)[:40]!r}.", field="side")
    return SIDES[value]


def _horizon_ns(fields: Mapping[str, object], rules: IntakeRules) -> int:
    minutes = parse_decimal(fields["minutes"], field="minutes") if "minutes" in fields else rules.minutes
    if not 0 < minutes <= MINUTES_MAX:
        raise InvalidRequest(f"minutes must be above 0 and at most {MINUTES_MAX}, found {minutes}.", field="minutes")
    return int(minutes * 60 * NS_PER_S)


def _price_ticks(fields: Mapping[str, object], name: str, instrument: Instrument) -> int:
    if name not in fields:
        return 0
    ticks = instrument.price_ticks(fields[name], field=name)
    if ticks <= 0:
        raise InvalidRequest(f"{name} must be above zero, found {fields[name]}.", field=name)
    return ticks


def _participation_bps_max(fields: Mapping[str, object]) -> int:
    if "participation_bps_max" not in fields:
        return 0
    share_bps = parse_decimal(fields["participation_bps_max"], field="participation_bps_max")
    if share_bps != int(share_bps) or not 0 < share_bps <= PARTICIPATION_BPS_MAX:
        raise InvalidRequest(
            f"participation_bps_max must be a whole number from 1 to {PARTICIPATION_BPS_MAX}, found {share_bps}.",
            field="participation_bps_max",
        )
    return int(share_bps)


def _parameters(fields: Mapping[str, object], rules: IntakeRules) -> tuple[tuple[str, str], ...]:
    """Return the strategy's parameters as text, after the strategy itself has read them."""
    given = fields.get("parameters", {})
    if not isinstance(given, dict) or len(given) > PARAMETERS_MAX:
        raise InvalidRequest(
            f"parameters must be an object of at most {PARAMETERS_MAX} names and values, found {str(given)[:40]!r}.",
            field="parameters",
        )
    pairs = tuple((str(name), _parameter_text(str(name), value)) for name, value in given.items())
    instrument = _name(fields, "instrument")
    check_order(
        strategy_name(_name(fields, "strategy")), dict(pairs), instrument, has_curve=instrument in rules.volume_curves
    )
    return pairs


def _parameter_text(name: str, value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")[: NUMBER_CHARACTERS_MAX + 1]
    if isinstance(value, str):
        return value
    raise InvalidRequest(
        f"The parameter {name[:40]!r} must be a number or text, found {type(value).__name__}.", field=name[:40]
    )


def reference_of(fields: Mapping[str, object]) -> str:
    """Return the sender's own key of an order, empty for none; it may become the name of a file.

    Errors
        InvalidRequest for anything but a few plain letters
    """
    value = fields.get("reference", "")
    if value == "":
        return ""
    if not isinstance(value, str) or _REFERENCE.fullmatch(value) is None:
        raise InvalidRequest(
            f"reference must be 1 to 64 letters, digits, dots, dashes or underscores, found {str(value)[:40]!r}.",
            field="reference",
        )
    return value


def _name(fields: Mapping[str, object], field: str) -> str:
    value = fields[field]
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise InvalidRequest(
            f"{field} must be a name of 1 to 64 plain characters, found {str(value)[:40]!r}.", field=field
        )
    return value


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:20]) or "none"


def _exact_number(digits: str) -> Decimal:
    if len(digits) > NUMBER_CHARACTERS_MAX:
        raise InvalidRequest(
            f"A number has at most {NUMBER_CHARACTERS_MAX} characters, found {len(digits)}: {digits[:20]}..."
        )
    return Decimal(digits)


def _no_number(word: str) -> NoReturn:
    raise InvalidRequest(f"Numbers must be finite, found {word}; send plain decimal digits.")


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidRequest(f"The field {name[:40]!r} occurs twice; send it once.", field=name[:40])
        fields[name] = value
    return fields
