"""Numbers of the gate: price in ticks, quantity in lots, money in millionths, and conversions with a stated direction.

Everything inside is int64. At the edges a number is a `Decimal` parsed from plain ASCII digits; NaN, infinity,
exponents beyond reason, booleans, other scripts' digits and empty text are refused there, so that none reaches a
comparison.
"""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from controlplane.domain.errors import InvalidRequest

MICRO = 1_000_000
NANO = 1_000_000_000
BPS = 10_000
INT64_MAX = (1 << 63) - 1

PRICE_TICKS_CAP = 1 << 40
QUANTITY_LOTS_CAP = 1 << 40
MONEY_MICRO_CAP = 1 << 60

TEXT_LETTERS_MAX = 40
# Two numbers of 36 digits each multiply to 72; the usual 28 would let a value beside the grid pass for one on it.
EXACT_DIGITS = 80

_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?", re.ASCII)


def parse_decimal(value: object, *, field: str) -> Decimal:
    """Return the exact value of a number that came from outside.

    Arguments
        value  text in plain decimal notation ("1.25"), an int, or a Decimal; never a float or a bool
        field  name used in the refusal
    Errors
        InvalidRequest for anything else: NaN, infinity, exponents, more than 18 digits on a side, other scripts' digits
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise InvalidRequest(
            f"{field} must be a decimal number written as text, found {type(value).__name__}; "
            'send it as a string such as "1.25".',
            field=field,
        )
    if isinstance(value, Decimal) and not value.is_finite():
        raise InvalidRequest(f"{field} must be finite, found {value}.", field=field)
    text = _digits(value)
    if len(text) > TEXT_LETTERS_MAX or _PLAIN_NUMBER.fullmatch(text) is None:
        found = text[:TEXT_LETTERS_MAX]
        raise InvalidRequest(
            f"{field} must be plain decimal digits (at most 18 on each side of the point), found {found!r}.",
            field=field,
        )
    return Decimal(text)


def _digits(value: str | int | Decimal) -> str:
    """Return a number written out; not one that is too long anyway, since an exponent alone can mean a gigabyte."""
    if isinstance(value, Decimal):
        return f"{value:.3e}" if abs(value.adjusted()) > TEXT_LETTERS_MAX else format(value, "f")
    if isinstance(value, int) and value.bit_length() > 4 * TEXT_LETTERS_MAX:
        return f"an integer of {value.bit_length()} bits"
    return str(value)


def to_units(value: Decimal, unit: Decimal, *, field: str, cap: int) -> int:
    """Return how many units the value holds, exactly.

    Arguments
        value  price or quantity
        unit   tick size or lot size, > 0
        cap    largest admissible magnitude in units
    Errors
        InvalidRequest when the value lies between two units or beyond the cap; the message names the neighbours
    """
    with localcontext(prec=EXACT_DIGITS):
        whole = (value / unit).to_integral_value(rounding=ROUND_FLOOR)
        if whole * unit != value:
            raise InvalidRequest(
                f"{field} {value} is off the grid of {unit}; "
                f"the nearest values are {whole * unit} and {(whole + 1) * unit}.",
                field=field,
            )
        if abs(whole) > cap:
            raise InvalidRequest(
                f"{field} {value} is beyond the largest value the gate accepts, {cap * unit}.", field=field
            )
    return int(whole)


def to_micro(value: Decimal, *, is_exposure: bool) -> int:
    """Return money in millionths.

    Rounding
        exposure and cost up, permission and gain down, so that a conversion never helps us
    """
    rounding = ROUND_CEILING if is_exposure else ROUND_FLOOR
    return int((value * MICRO).to_integral_value(rounding=rounding))


def micro_to_decimal(value_micro: int) -> Decimal:
    """Return money as a decimal in units of the reporting currency, exactly."""
    return Decimal(value_micro).scaleb(-6)


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded towards plus infinity; denominator > 0."""
    return -((-numerator) // denominator)
