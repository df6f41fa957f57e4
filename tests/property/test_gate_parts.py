"""The small compiled parts of the gate against independent ones: digests, permit codes, windows, valuation, indexes."""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import Any

import crc32c as reference_crc
import numba
import numpy as np
import pytest

from controlplane.domain.decisions import Permit
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import CommandKind
from controlplane.gate import permit
from controlplane.gate import words as w
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel import valuation
from controlplane.gate.kernel.compiled import entry, words_at
from controlplane.gate.kernel.hashing import LOW_32, crc_by_table, crc_start, crc_word
from controlplane.gate.kernel.ledger import find, insert, remove
from controlplane.gate.kernel.loading import State, build_state
from controlplane.gate.kernel.permit_code import keyed_state, write_code
from controlplane.gate.kernel.windows import advance, count
from controlplane.gate.plain import money
from controlplane.gate.plain.book import Window
from controlplane.gate.plain.terms import Payoff, Terms, terms_of
from tests.support.gate_commands import Stream
from tests.support.gate_machines import EPOCH, GATE_ID, KEY, SMALL, CompiledMachine
from tests.support.gate_universes import WIDE, universe

# Each of these is compiled on its own when a test calls it: they share one worker.
pytestmark = pytest.mark.xdist_group("gate_parts")

ENDS = (0, 1, -1, (1 << 31), (1 << 62) - 1, 1 << 62, (1 << 63) - 1, -(1 << 63))


# --- digests ----------------------------------------------------------------------------------------------------------


@entry
def crc_in_machine_code(crc: int, word: int) -> int:
    """Take one word into a CRC with what the processor offers."""
    return crc_word(crc, word)


@entry
def crc_by_compiled_table(crc: int, word: int) -> int:
    """Take one word into a CRC as it is done where the processor offers nothing."""
    return crc_in_tables(crc, word)


crc_in_tables = numba.njit(crc_by_table)
CRC_FORMS = [crc_in_machine_code, crc_by_compiled_table]


def crc_of(first: int, words: list[int], step: Callable[[int, int], int]) -> int:
    """Return the CRC32C of a 32-bit value and 64-bit words after it, one step a word."""
    crc = crc_start(first)
    for word in words:
        crc = step(crc, word)
    return crc ^ LOW_32


@pytest.mark.parametrize("step", CRC_FORMS)
def test_crc_equals_the_published_check_value(step: Callable[[int, int], int]) -> None:
    # "123456789" of RFC 3720 is no whole number of words: its first four bytes and eight zero bytes are.
    first = int.from_bytes(b"1234", "little")

    assert crc_of(first, [0], step) == reference_crc.crc32c(b"1234" + bytes(8))
    assert reference_crc.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("step", CRC_FORMS)
def test_crc_equals_that_of_the_crc32c_package_on_random_words(step: Callable[[int, int], int]) -> None:
    chance = Random("crc")

    for _ in range(300):
        first = chance.choice((0, 1, 256, (1 << 32) - 1, chance.getrandbits(32)))
        words = [
            chance.choice((*ENDS, chance.getrandbits(63), -chance.getrandbits(63))) for _ in range(chance.randrange(40))
        ]
        expected = reference_crc.crc32c(first.to_bytes(4, "little") + np.array(words, np.int64).tobytes())
        assert crc_of(first, words, step) == expected


def test_the_frame_of_a_record_carries_the_crc_over_all_of_it_but_the_crc() -> None:
    snapshot = universe(1)
    machine, stream = CompiledMachine(snapshot), Stream(1, snapshot)

    for _ in range(200):
        command = stream.next()
        reply = machine.apply(command)
        stream.saw(command, reply)
        frame = machine.frame
        assert int.from_bytes(frame[4:8], "little") == reference_crc.crc32c(frame[:4] + frame[8:])
        assert reply.is_repeated or frame[24:] == np.array(reply.words, np.int64).tobytes()


@entry
def code_of(key: int, message: int, code: int) -> int:
    """Write the code of a message under a keyed state, all three by address."""
    write_code(words_at(key), words_at(message), words_at(code))
    return 0


def test_keyed_code_equals_blake2b_of_the_standard_library() -> None:
    chance = Random("blake2b")

    for _ in range(300):
        key, message, code = chance.randbytes(32), chance.randbytes(128), np.empty(2, np.uint64)
        state, block = keyed_state(key), np.frombuffer(message, np.uint64)
        code_of(state.ctypes.data, block.ctypes.data, code.ctypes.data)
        assert code.tobytes() == hashlib.blake2b(message, key=key, digest_size=16).digest()


# --- permits ----------------------------------------------------------------------------------------------------------


def test_every_permit_of_a_stream_stands_for_its_order_and_for_no_other() -> None:
    snapshot = universe(3, WIDE)
    machine, stream = CompiledMachine(snapshot), Stream(3, snapshot, calm=1.0)
    key, checked = permit.PermitKey(GATE_ID, EPOCH, KEY), 0

    for _ in range(2_500):
        command = stream.next()
        reply = machine.apply(command)
        stream.saw(command, reply)
        if reply.code == bytes(16) or reply.is_repeated:
            continue
        order = w.command_from(command.words)
        issued = permit.issue(order, key=key, sequence=reply.sequence, expiry_ns=reply.words[27], fence=command.fence)
        assert issued.code == reply.code
        permit.verify(issued, order, key=key, fence=command.fence, now_ns=command.wall_ns)
        place = stream.chance.choice((3, 4, 5, 6, 9, 10, 11, 12))
        altered = w.command_from((*command.words[:place], command.words[place] + 1, *command.words[place + 1 :]))
        with pytest.raises(PermitInvalid):
            permit.verify(issued, altered, key=key, fence=command.fence, now_ns=command.wall_ns)
        checked += 1

    assert checked > 100


@pytest.mark.parametrize("kind", [CommandKind.NEW, CommandKind.AMEND, CommandKind.QUOTE_ACCEPTANCE])
def test_a_permit_of_another_run_gate_or_fence_is_refused(kind: CommandKind) -> None:
    order = w.command_from((w.ORDER_DECIDED | kind << 8, 0, 0, 9, 9, 8, 0, 1, 1 | 1 << 8, 5, 100, 0, 0, 0, 0, 0))
    key = permit.PermitKey(GATE_ID, EPOCH, KEY)
    good = permit.issue(order, key=key, sequence=4, expiry_ns=1_000, fence=7)
    others = (
        Permit(GATE_ID + 1, EPOCH, 4, 1_000, 7, good.code),
        Permit(GATE_ID, EPOCH + 1, 4, 1_000, 7, good.code),
        Permit(GATE_ID, EPOCH, 5, 1_000, 7, good.code),
        Permit(GATE_ID, EPOCH, 4, 1_001, 7, good.code),
        Permit(GATE_ID, EPOCH, 4, 1_000, 8, good.code),
    )

    permit.verify(good, order, key=key, fence=7, now_ns=1_000)

    for other in others:
        with pytest.raises(PermitInvalid):
            permit.verify(other, order, key=key, fence=7, now_ns=1_000)


# --- windows ----------------------------------------------------------------------------------------------------------


def test_window_equals_a_list_of_everything_that_happened() -> None:
    chance = Random("window")

    for _ in range(60):
        words, events, newest, part_ns = np.zeros(a.WINDOW_WORDS, np.int64), [], 0, 1_000
        now = chance.randrange(50_000)
        for _ in range(200):
            now = max(0, now + chance.choice((0, 0, 1, 300, 999, 5_000, 17_000, 90_000, -1, -4_000)))
            newest = max(newest, now // part_ns)
            if chance.random() < 0.6:
                amount = chance.choice((1, 7, 1 << 40))
                count(words, 0, now // part_ns, amount)
                events.append((newest, amount))
            expected = sum(amount for index, amount in events if index > newest - 17)
            assert advance(words, 0, now // part_ns) == expected
            assert words[a.WINDOW_TOTAL] == words[a.WINDOW_FIRST :].sum()


def test_window_never_counts_an_event_shorter_than_the_window_and_at_most_a_part_longer() -> None:
    part_ns, window_ns = 625, 10_000
    words = np.zeros(a.WINDOW_WORDS, np.int64)
    count(words, 0, 3_124 // part_ns, 1)  # the last nanosecond of its part

    assert advance(words, 0, (3_124 + window_ns) // part_ns) == 1
    assert advance(words, 0, (3_124 + window_ns + part_ns) // part_ns) == 0


def test_plain_window_equals_the_compiled_one_when_the_clock_goes_back() -> None:
    words, plain = np.zeros(a.WINDOW_WORDS, np.int64), Window(1_000)
    chance, now = Random("clock"), 40_000

    for _ in range(500):
        now += chance.choice((400, 400, 3_000, 20_000, -15_000, -400))
        if chance.random() < 0.5:
            count(words, 0, now // 1_000, 3)
            plain.count(now, 3)
        assert advance(words, 0, now // 1_000) == plain.total(now)


# --- valuation --------------------------------------------------------------------------------------------------------


class Priced:
    """One instrument of a compiled state with a rate and prices, beside its terms in plain Python."""

    def __init__(self, state: State, terms: Terms, number: int) -> None:
        self.words: Any = state.words
        self.terms = terms
        self.row = int(self.words[a.INSTRUMENTS_AT]) + number * a.INSTRUMENT_WORDS
        self.rate_row = int(self.words[self.row + a.INSTRUMENT_RATE])
        self.underlying = int(self.words[self.row + a.INSTRUMENT_UNDERLYING])
        self.rate, self.high, self.low, self.under = 0, 0, 0, 0

    def set(self, chance: Random) -> None:
        """Give it a rate and prices: usual ones, or the ends of their ranges."""
        most = self.terms.instrument.price_max_ticks
        self.rate = chance.choice((0, 1, 1_000_000, 999_999, 10**12, chance.randrange(1, 10**8), 60_000_000_000))
        self.low = chance.choice((0, 1, most, chance.randrange(1, most + 1)))
        self.high = min(most, self.low + chance.choice((0, 1, 300)))
        self.words[self.rate_row + a.RATE_MICRO] = self.rate
        self.words[self.row + a.INSTRUMENT_HIGH], self.words[self.row + a.INSTRUMENT_LOW] = self.high, self.low
        if self.terms.payoff is Payoff.OPTION:
            self.under = chance.choice((0, 1, 250_000, 10_000_000))
            self.words[self.underlying + a.INSTRUMENT_HIGH] = self.under

    def exposure(self, side: int, lots: int, price: int) -> int:
        return int(valuation.notional_micro(self.words, self.row, side, lots, price))

    def within(self, side: int, amount: int, price: int) -> int:
        return int(valuation.lots_within(self.words, self.row, side, amount, price))


def priced(seed: int) -> list[Priced]:
    snapshot = universe(seed)
    state = build_state(snapshot, SMALL)
    return [Priced(state, terms, number) for number, terms in enumerate(terms_of(snapshot))]


def some_lots(chance: Random, terms: Terms) -> int:
    return chance.choice((0, 1, 2, chance.randrange(1, 5_000), terms.lots_safe, terms.lots_safe + 1, 1 << 40))


def some_price(chance: Random, terms: Terms) -> int:
    low, high = terms.instrument.price_min_ticks, terms.instrument.price_max_ticks
    return chance.choice((0, 1, low, high, high + 1, -high, chance.randint(low, high), chance.randint(low, high)))


REFUSALS = {
    money.Refusal.OVERFLOW: valuation.OVERFLOW,
    money.Refusal.NO_RATE: valuation.NO_RATE,
    money.Refusal.NO_PRICE: valuation.NO_REFERENCE,
    money.Refusal.OUT_OF_RANGE: valuation.OUT_OF_RANGE,
}


def test_exposure_equals_the_one_in_exact_fractions() -> None:
    chance, numbers = Random("exposure"), 0

    for _ in range(400):
        for one in priced_once():
            one.set(chance)
            side, lots, price = chance.choice((1, -1)), some_lots(chance, one.terms), some_price(chance, one.terms)
            expected = money.exposure_micro(
                one.terms, side, lots, price, rate_micro=one.rate, underlying_ticks=one.under
            )
            number = REFUSALS[expected] if isinstance(expected, money.Refusal) else expected
            assert one.exposure(side, lots, price) == number, (one.terms.name, side, lots, price, one.rate)
            numbers += number > 0

    assert numbers > 500


def test_largest_quantity_within_an_amount_is_the_exact_inverse_of_the_exposure() -> None:
    chance, inverses = Random("inverse"), 0

    for _ in range(400):
        for one in priced_once():
            one.set(chance)
            low, high = max(1, one.terms.instrument.price_min_ticks), one.terms.instrument.price_max_ticks
            side, price = chance.choice((1, -1)), chance.choice((low, high, chance.randint(low, high)))
            amount = chance.choice(
                (1, 999, 10**6, 10**9, 10**13, (1 << 55) - 1, 1 << 55, 1 << 62, chance.getrandbits(45))
            )
            lots = one.within(side, amount, price)
            if one.rate == 0 or (one.terms.payoff is Payoff.OPTION and side < 0 and one.under == 0):
                assert lots == 0
                continue
            found, beyond = one.exposure(side, lots, price), one.exposure(side, lots + 1, price)
            assert 0 <= found <= min(amount, a.MONEY_MAX), (one.terms.name, side, amount, price, one.rate, lots)
            assert beyond < 0 or beyond > amount, (one.terms.name, side, amount, price, one.rate, lots)
            inverses += lots > 0

    assert inverses > 500


def test_largest_quantity_within_an_amount_equals_the_one_in_exact_fractions() -> None:
    chance = Random("within")

    for _ in range(400):
        for one in priced_once():
            one.set(chance)
            low, high = max(1, one.terms.instrument.price_min_ticks), one.terms.instrument.price_max_ticks
            side, price = chance.choice((1, -1)), chance.choice((low, high, chance.randint(low, high)))
            amount = chance.choice((-5, 0, 1, 10**9, (1 << 55) + 1, 1 << 62, chance.getrandbits(50)))
            expected = money.lots_within(
                one.terms, side, amount, price, rate_micro=one.rate, underlying_ticks=one.under
            )
            assert one.within(side, amount, price) == expected, (one.terms.name, side, amount, price, one.rate)


def test_worth_of_a_position_equals_the_one_in_exact_fractions() -> None:
    chance, losses = Random("worth"), 0

    for _ in range(400):
        for one in priced_once():
            one.set(chance)
            position = chance.choice((1, -1)) * some_lots(chance, one.terms)
            cash = chance.choice((0, 1, -1, -position * one.high, chance.getrandbits(40), -(1 << 60), 1 << 60))
            cash = max(-money.CASH_MAX, min(money.CASH_MAX, cash))
            found = int(valuation.value_micro(one.words, one.row, position, cash))
            assert found == money.worth_micro(
                one.terms, position, cash, low_ticks=one.low, high_ticks=one.high, rate_micro=one.rate
            ), (one.terms.name, position, cash, one.low, one.high, one.rate)
            losses += -a.MONEY_MAX < found < 0

    assert losses > 100


def test_cash_of_a_fill_equals_the_one_in_exact_fractions_at_any_price_and_size() -> None:
    chance = Random("cash")

    for _ in range(400):
        for one in priced_once():
            side, lots, price = chance.choice((1, -1)), some_lots(chance, one.terms), some_price(chance, one.terms)
            price = chance.choice((price, 1 << 40, -(1 << 40)))
            found = int(valuation.cash_of_fill(one.words, one.row, side, lots, price))
            assert found == money.cash_of_fill(one.terms, side, lots, price), (one.terms.name, side, lots, price)


@pytest.mark.case("GATE-51")
def test_inverse_contract_weighs_more_coin_when_its_price_falls() -> None:
    one = next(one for one in priced_once() if one.terms.payoff is Payoff.INVERSE)
    one.words[one.rate_row + a.RATE_MICRO] = 50_000_000_000

    at_fifty_thousand, at_half = (one.exposure(1, 100, ticks) for ticks in (500_000, 250_000))

    # 100 contracts of 100 dollars at 50 000 are 0.2 coins, which are 10 000 dollars.
    assert at_fifty_thousand == 10_000_000_000
    assert at_half == 2 * at_fifty_thousand


def test_short_option_weighs_its_stressed_underlying_and_not_its_premium() -> None:
    one = next(one for one in priced_once() if one.terms.payoff is Payoff.OPTION)
    one.words[one.rate_row + a.RATE_MICRO] = 1_000_000
    one.words[one.underlying + a.INSTRUMENT_HIGH] = 250_000

    long, short = one.exposure(1, 10, 1_200), one.exposure(-1, 10, 1_200)

    # Ten lots of 0.1: one option. Its premium is 120; its underlying, 2 500, moved by a quarter is 3 125.
    assert long == 120_000_000
    assert short == Fraction(3_125) * 1_000_000


_PRICED: list[Priced] = []


def priced_once() -> list[Priced]:
    """Return the instruments of one state, made when first asked for."""
    if not _PRICED:
        _PRICED.extend(priced(1))
    return _PRICED


# --- indexes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [8, 16, 128])
def test_index_holds_what_a_dictionary_holds_through_every_collision_and_removal(places: int) -> None:
    chance, most = Random(f"index {places}"), places // 2
    table, expected = np.zeros(places * a.INDEX_WORDS, np.int64), {}
    keys = [
        chance.choice((chance.getrandbits(63), -chance.getrandbits(63), chance.randrange(1, 40)))
        for _ in range(4 * places)
    ]
    keys = [key for key in dict.fromkeys(keys) if key != 0]

    for step in range(20_000):
        key = chance.choice(keys)
        if key in expected:
            remove(table, 0, places - 1, key)
            del expected[key]
        elif len(expected) < most:
            insert(table, 0, places - 1, key, step + 1)
            expected[key] = step + 1
        assert find(table, 0, places - 1, key) == expected.get(key, 0)
        if step % 50 == 0:
            assert all(find(table, 0, places - 1, other) == expected.get(other, 0) for other in keys)
    assert np.count_nonzero(table[:: a.INDEX_WORDS]) == len(expected)


def test_taking_out_a_key_that_is_not_there_changes_nothing() -> None:
    table = np.zeros(8 * a.INDEX_WORDS, np.int64)
    insert(table, 0, 7, 5, 50)
    before = table.copy()

    remove(table, 0, 7, 6)

    assert (table == before).all()
