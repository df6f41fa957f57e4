"""What may stand in one field of a policy file: decimal text, counts, shares, times, names; each with its bounds.

A number in a file is either a whole number with its unit in the key, or decimal text in quotes. A binary fraction is
neither, so it is refused here and no limit is ever a little off.
"""

import re
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.quantities import BPS, MICRO, MONEY_MICRO_CAP, parse_decimal

NO_ARTEFACT = "none"
# The most that a gate can count among the few hundred events that it remembers.
RECENT_COUNT_CAP = 400
COUNT_CAP = 1_000_000
DAY_MS = 86_400_000
# The gate keeps sessions for this many days after the snapshot was made; a snapshot must not outlive them.
CALENDAR_DAYS_AHEAD = 30


class Table(BaseModel):
    """Any table of a policy file: strict types, no unknown keys, not changeable after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _decimal_text(value: object) -> Decimal:
    if not isinstance(value, str):
        raise ValueError('a decimal number in quotes such as "1.25"')
    try:
        return parse_decimal(value, field="value")
    except InvalidRequest:
        raise ValueError('plain decimal digits in quotes such as "1.25", at most 18 a side') from None


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("a number above zero")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("zero or more; 0 permits nothing")
    return value


def _within_money_cap(value: Decimal) -> Decimal:
    if value > Decimal(MONEY_MICRO_CAP) / MICRO:
        raise ValueError(f"at most {MONEY_MICRO_CAP // MICRO}, the largest amount the gate can count")
    return value


def _small_fee(value: Decimal) -> Decimal:
    if abs(value) > 1_000:
        raise ValueError("a fee between -1000 and 1000 bps")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, KeyError, OSError):
        # unknown names are a KeyError, folders such as "America" an OSError, paths out of the database a ValueError
        raise ValueError('a time zone such as "America/New_York" (the package tzdata brings them)') from None
    return value


def _digest_or_none(value: str) -> str:
    if value != NO_ARTEFACT and re.fullmatch(r"[0-9a-f]{64}", value, re.ASCII) is None:
        raise ValueError('64 lower-case hexadecimal digits (SHA-256), or "none" for a schedule without learned bytes')
    return value


def _no_duplicates(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise ValueError("each name once")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,38}$")]
# TOML arrays arrive as lists, which strict mode would refuse for a tuple; the items stay strict.
Names = Annotated[tuple[Name, ...], Field(strict=False), AfterValidator(_no_duplicates)]
SomeNames = Annotated[Names, Field(min_length=1)]
Sentence = Annotated[str, Field(min_length=3, max_length=400)]
Positive = Annotated[Decimal, BeforeValidator(_decimal_text), AfterValidator(_positive)]
Quantity = Annotated[Decimal, BeforeValidator(_decimal_text), AfterValidator(_not_negative)]
Money = Annotated[Quantity, AfterValidator(_within_money_cap)]
FeeBps = Annotated[Decimal, BeforeValidator(_decimal_text), AfterValidator(_small_fee)]
Count = Annotated[int, Field(ge=0, le=COUNT_CAP)]
RecentCount = Annotated[int, Field(ge=0, le=RECENT_COUNT_CAP)]
Bps = Annotated[int, Field(ge=0, le=BPS)]
ReserveBps = Annotated[int, Field(ge=0, lt=BPS)]
Milliseconds = Annotated[int, Field(ge=1, le=DAY_MS)]
TimeOfDay = Annotated[str, Field(pattern=r"^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
ArtefactDigest = Annotated[str, AfterValidator(_digest_or_none)]
