"""What lots are worth in millionths of the reporting currency, and how many lots an amount allows.

Exposure rounds up, permission rounds down, and no product is formed before its factors are known to be small
enough: compiled integers wrap in silence. A negative answer is a refusal (`OVERFLOW`, `NO_RATE`, `NO_REFERENCE`,
`OUT_OF_RANGE`), never a value.

Linear      lots x ticks x numerator / denominator, in the settlement currency's millionths
Inverse     lots x numerator / ticks, in billionths of the coin; exposure grows as the price falls
Short option  the underlying moved against us by the stress of the policy, never the premium
"""

from controlplane.gate.kernel.arrays import (
    INSTRUMENT_DENOMINATOR,
    INSTRUMENT_HIGH,
    INSTRUMENT_KIND,
    INSTRUMENT_LOTS_SAFE,
    INSTRUMENT_LOW,
    INSTRUMENT_NUMERATOR,
    INSTRUMENT_PRICE_MAX,
    INSTRUMENT_PRICE_MIN,
    INSTRUMENT_RATE,
    INSTRUMENT_STRESS_BPS,
    INSTRUMENT_UNDERLYING,
    INSTRUMENT_UNDERLYING_DENOMINATOR,
    INSTRUMENT_UNDERLYING_NUMERATOR,
    INVERSE,
    MONEY_MAX,
    OPTION,
    PRODUCT_MAX,
    RATE_MICRO,
)
from controlplane.gate.kernel.compiled import Words, compiled, inlined

MICRO = 1_000_000
NANO = 1_000_000_000
BPS = 10_000
OVERFLOW, NO_RATE, NO_REFERENCE, OUT_OF_RANGE = -1, -2, -3, -4
CASH_MAX = 1 << 60
SATURATION = 2 * PRODUCT_MAX


@inlined
def _up(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up; both non-negative."""
    return (numerator + denominator - 1) // denominator


@compiled
def _linear_to_micro(amount_micro: int, rate_micro: int, is_up: bool) -> int:
    """Return an amount in another currency's millionths, rounded up or down; not negative, rate at most 10**12."""
    micro = amount_micro
    if rate_micro != MICRO:
        whole, part = amount_micro // MICRO, amount_micro % MICRO
        if whole > MONEY_MAX // rate_micro:
            return OVERFLOW
        micro = whole * rate_micro + (_up(part * rate_micro, MICRO) if is_up else part * rate_micro // MICRO)
    return micro if micro <= MONEY_MAX else OVERFLOW


@compiled
def _coin_to_micro(amount_nano: int, rate_micro: int, is_up: bool) -> int:
    """Return coin billionths in millionths of the reporting currency, rounded up or down; amount not negative."""
    whole, part = amount_nano // NANO, amount_nano % NANO
    if whole > MONEY_MAX // rate_micro:
        return OVERFLOW
    thousands = part * (rate_micro // MICRO)
    rest = (thousands % 1_000) * MICRO + part * (rate_micro % MICRO)
    tail = _up(rest, NANO) if is_up else rest // NANO
    micro = whole * rate_micro + thousands // 1_000 + tail
    return micro if micro <= MONEY_MAX else OVERFLOW


@compiled
def stressed_unit(s: Words, instrument: int) -> int:
    """Return the worth of one short option lot times the denominator: its stressed underlying; 0 without a price."""
    high = s[s[instrument + INSTRUMENT_UNDERLYING] + INSTRUMENT_HIGH]
    if high <= 0:
        return 0
    stressed = high + _up(high * s[instrument + INSTRUMENT_STRESS_BPS], BPS)
    return stressed * s[instrument + INSTRUMENT_UNDERLYING_NUMERATOR]


@compiled
def notional_micro(s: Words, instrument: int, side: int, lots: int, price_ticks: int) -> int:
    """Return the exposure of a quantity at a price, rounded up, or a negative refusal.

    Arguments
        instrument   row of the instruments table
        side         +1 buy, -1 sell
        lots         quantity, >= 0
        price_ticks  price that makes the exposure largest; 0 stands for none, one beyond the range is refused
    """
    rate = s[s[instrument + INSTRUMENT_RATE] + RATE_MICRO]
    if rate <= 0:
        return NO_RATE
    if lots > s[instrument + INSTRUMENT_LOTS_SAFE]:
        return OVERFLOW
    kind = s[instrument + INSTRUMENT_KIND]
    if kind == INVERSE:
        if price_ticks <= 0:
            return NO_REFERENCE
        return _coin_to_micro(_up(lots * s[instrument + INSTRUMENT_NUMERATOR], price_ticks), rate, True)
    if kind == OPTION and side < 0:
        unit = stressed_unit(s, instrument)
        if unit == 0:
            return NO_REFERENCE
        if lots > PRODUCT_MAX // unit:
            return OVERFLOW
        return _linear_to_micro(_up(lots * unit, s[instrument + INSTRUMENT_UNDERLYING_DENOMINATOR]), rate, True)
    if price_ticks == 0:
        return NO_REFERENCE
    if abs(price_ticks) > max(s[instrument + INSTRUMENT_PRICE_MAX], -s[instrument + INSTRUMENT_PRICE_MIN]):
        return OUT_OF_RANGE
    raw = lots * abs(price_ticks) * s[instrument + INSTRUMENT_NUMERATOR]
    return _linear_to_micro(_up(raw, s[instrument + INSTRUMENT_DENOMINATOR]), rate, True)


@compiled
def lots_within(s: Words, instrument: int, side: int, amount_micro: int, price_ticks: int) -> int:
    """Return the largest quantity whose exposure at the price stays within the amount."""
    rate = s[s[instrument + INSTRUMENT_RATE] + RATE_MICRO]
    safe = s[instrument + INSTRUMENT_LOTS_SAFE]
    if amount_micro <= 0 or rate <= 0:
        return 0
    amount_micro = min(amount_micro, MONEY_MAX)
    kind = s[instrument + INSTRUMENT_KIND]
    if kind == INVERSE:
        coin = _scaled_down(amount_micro, NANO, rate)
        return min(safe, _scaled_down(coin, price_ticks, s[instrument + INSTRUMENT_NUMERATOR]))
    amount = amount_micro if rate == MICRO else _scaled_down(amount_micro, MICRO, rate)
    if kind == OPTION and side < 0:
        unit = stressed_unit(s, instrument)
        if unit == 0:
            return 0
        within = _scaled_down(amount, s[instrument + INSTRUMENT_UNDERLYING_DENOMINATOR], unit)
        return min(safe, PRODUCT_MAX // unit, within)
    unit = abs(price_ticks) * s[instrument + INSTRUMENT_NUMERATOR]
    return safe if unit == 0 else min(safe, _scaled_down(amount, s[instrument + INSTRUMENT_DENOMINATOR], unit))


@compiled
def _scaled_down(amount: int, factor: int, divisor: int) -> int:
    """Return amount x factor / divisor rounded down, saturated beyond every product; one division at a time."""
    whole, part = amount // divisor, amount % divisor
    if whole > SATURATION // factor:
        return SATURATION
    if part <= SATURATION // factor:
        return whole * factor + part * factor // divisor
    # The product of the rest would not fit: long division, one bit of the factor at a time, highest first.
    quotient, remainder = 0, 0
    for bit in range(61, -1, -1):
        quotient, remainder = quotient * 2, remainder * 2
        if remainder >= divisor:
            quotient, remainder = quotient + 1, remainder - divisor
        if factor >> bit & 1:
            remainder += part
            if remainder >= divisor:
                quotient, remainder = quotient + 1, remainder - divisor
    return whole * factor + quotient


@compiled
def value_micro(s: Words, instrument: int, position_lots: int, cash_raw: int) -> int:
    """Return what a position and the cash it took are worth now, closed at the side we would exit, rounded down.

    Arguments
        cash_raw  linear: sum of -signed lots x ticks; inverse: sum of signed coin billionths
    Errors
        a worth that can't be formed without overflow, or has no rate, answers -MONEY_MAX: unknown counts as lost
    """
    rate = s[s[instrument + INSTRUMENT_RATE] + RATE_MICRO]
    exit_ticks = s[instrument + INSTRUMENT_LOW] if position_lots > 0 else s[instrument + INSTRUMENT_HIGH]
    if position_lots == 0 and cash_raw == 0:
        return 0
    if (
        rate <= 0
        or abs(position_lots) > s[instrument + INSTRUMENT_LOTS_SAFE]
        or (position_lots != 0 and exit_ticks == 0)
    ):
        return -MONEY_MAX
    numerator = s[instrument + INSTRUMENT_NUMERATOR]
    if s[instrument + INSTRUMENT_KIND] == INVERSE:
        nano = cash_raw
        if position_lots > 0:
            nano -= _up(position_lots * numerator, exit_ticks)
        elif position_lots < 0:
            nano += -position_lots * numerator // exit_ticks
        return _signed(_coin_to_micro(abs(nano), rate, nano < 0), nano)
    raw = cash_raw + position_lots * exit_ticks
    if abs(raw) > MONEY_MAX // numerator:
        return -MONEY_MAX
    amount = raw * numerator // s[instrument + INSTRUMENT_DENOMINATOR]
    return _signed(_linear_to_micro(abs(amount), rate, amount < 0), amount)


@inlined
def _signed(magnitude: int, like: int) -> int:
    """Return the magnitude with the sign of `like`; a refusal counts as the largest loss."""
    if magnitude < 0:
        return -MONEY_MAX
    return -magnitude if like < 0 else magnitude


@compiled
def cash_of_fill(s: Words, instrument: int, side: int, lots: int, price_ticks: int) -> int:
    """Return the change of `cash_raw` by a fill: linear exactly, inverse against us to a billionth of a coin.

    A price at which the instrument can't trade counts as the worst at which it can: a loss that stops the scope, and
    from which later worth is still measured. Of a quantity beyond `INSTRUMENT_LOTS_SAFE` only that much is counted; the
    position itself is then worth the largest loss.
    """
    lots = min(lots, s[instrument + INSTRUMENT_LOTS_SAFE])
    if not is_possible(s, instrument, price_ticks):
        price_ticks = s[instrument + INSTRUMENT_PRICE_MAX] if side > 0 else s[instrument + INSTRUMENT_PRICE_MIN]
    if s[instrument + INSTRUMENT_KIND] != INVERSE:
        return -side * lots * price_ticks
    price_ticks = max(1, price_ticks)
    raw = lots * s[instrument + INSTRUMENT_NUMERATOR]
    return raw // price_ticks if side > 0 else -_up(raw, price_ticks)


@compiled
def is_possible(s: Words, instrument: int, price_ticks: int) -> bool:
    """Return whether a trade at this price could have happened at all."""
    if price_ticks < s[instrument + INSTRUMENT_PRICE_MIN] or price_ticks > s[instrument + INSTRUMENT_PRICE_MAX]:
        return False
    return price_ticks > 0 or s[instrument + INSTRUMENT_KIND] != INVERSE
