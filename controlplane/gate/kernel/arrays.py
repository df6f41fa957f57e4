"""Layout of the gate's state: one flat int64 array, its tables, their fields, and how compiled code reaches it.

The kernel takes the address of this array and scalars, nothing else: passing arrays or records costs more than the
checks. A table is a run of rows; a field is the offset of a word inside a row. Quantities are lots, prices ticks,
money millionths of the reporting currency, times nanoseconds. Every value fits below 2**62, so that one addition
never wraps.
"""

from dataclasses import dataclass

from controlplane.journal import record

# --- header -----------------------------------------------------------------------------------------------------------

(
    CURSOR_ADDRESS, SWITCH_ADDRESS, KEY_ADDRESS, CRC_ADDRESS, GATE_ID, SNAPSHOT_VERSION, SNAPSHOT_EXPIRES_NS,
    STATE_DIGEST,
    NODES_AT, CELLS_AT, PARENTS_AT, ORDERS_AT, ROUTES_AT, INSTRUMENTS_AT, RATES_AT, VOLUMES_AT, SESSIONS_AT,
    ORDER_INDEX_AT, PARENT_INDEX_AT, REQUEST_INDEX_AT, REQUESTS_AT, EXECUTION_INDEX_AT, EXECUTIONS_AT, VOLUME_INDEX_AT,
    ROUTE_COUNT, NODE_COUNT, CELL_COUNT, INSTRUMENT_COUNT, RATE_COUNT, VOLUME_COUNT,
    ORDER_CAPACITY, PARENT_CAPACITY, REQUEST_CAPACITY, EXECUTION_CAPACITY, VOLUME_INDEX_MASK,
    ORDER_FREE, PARENT_FREE, REQUEST_CURSOR, EXECUTION_CURSOR, PARENT_NODE_FIRST, PARENT_CELL_FIRST,
    PERMIT_TTL_NS, PHASE_AGE_NS_MAX, VOLUME_AGE_NS_MAX, RATE_AGE_NS_MAX, MESSAGE_BUCKET_NS, DENIED_BUCKET_NS,
    PARTICIPATION_BUCKET_NS, IS_PHASE_REQUIRED, NOTICE_COUNT, LIVE_COUNT, PERMIT_LOW, PERMIT_HIGH, LAST_SEQUENCE,
    STEADY_OFFSET_NS, GIVEN_WALL_NS, GIVEN_STEADY_NS,
) = range(57)  # fmt: skip
# Of the families of controls.
(DUPLICATES_AT, REJECTS_AT, OWN_BOOKS_AT, DUPLICATE_WINDOW_NS, REJECT_WINDOW_NS, BEHAVIOUR_AT,
 BEHAVIOUR_COUNT, RATIO_PART_NS, RATIO_ORDERS_MIN) = range(57, 66)
(GUARDS_AT, GUARD_ROWS, IS_GUARDED, GUARD_DIGEST) = range(66, 70)
(PRICES_AT, WALK_PART_NS, DISAGREEMENT_HOLD_NS) = range(70, 73)
PROGRAMS_AT = 128  # highest request identifier seen, one word for each of the 256 programs
ENTRY_AT = 384  # the 32 words of the record being made
SCRATCH_AT = 416  # what one decision works out on its way, 89 words
TABLES_AT = 512

# --- scratch: the request as the checks see it
# ----------------------------------------------------------------------------

(
    NOW_NS, MONOTONIC_NS, COMMAND, INSTRUMENT, ROUTE_ROW, PARENT_ROW, ORDER_ROW, IS_AMEND, IS_SIZE_DOWN, SIDE,
    TOTAL_LOTS, PRICE,
    TRIGGER, TYPE, FORCE, OLD_LOTS, OLD_MICRO, FILLED, NEW_LOTS, NEW_MICRO, TOTAL_MICRO, VALUE_PRICE, BID, ASK, AGE,
    IS_REDUCING,
    REDUCIBLE, IS_AGGRESSIVE, FAILED_RANK, IS_HARD, IS_WAIVABLE, MESSAGE_INDEX, DENIED_INDEX, VOLUME_INDEX,
    STRICT_LOTS, BOUND_CODE, BOUND_SCOPE, BOUND_MEASURED, BOUND_LIMIT, IS_REPRICED,
) = range(SCRATCH_AT, SCRATCH_AT + 40)  # fmt: skip
# The tightest bound in money on the whole order, on its live part, and on the part that is no proved reduction: five
# words
# each: amount, code, scope, measured, limit.
ORDER_BOUND, STRICT_BOUND, LOOSE_BOUND = SCRATCH_AT + 40, SCRATCH_AT + 45, SCRATCH_AT + 50
BOUND_WORDS = 5
PATH_NODES = SCRATCH_AT + 55  # nine rows of the nodes table, one for each kind of scope
PATH_CELLS = SCRATCH_AT + 64  # nine rows of the cells table; instrument and underlying point to the firm's
MESSAGE_AT = SCRATCH_AT + 73  # sixteen words under the permit's code

# --- tables
# -----------------------------------------------------------------------------------------------------------------

# What one decision reads of a row stands in as few cache lines of eight words as it fits: what a scope has used in the
# first line of its node, its limits in the second, the head of its message window in the third.
WINDOW_BUCKETS = 17  # sixteen whole parts of the window and the part that is filling
WINDOW_LAST, WINDOW_TOTAL, WINDOW_FIRST = 0, 1, 2
WINDOW_WORDS = WINDOW_FIRST + WINDOW_BUCKETS

(
    NODE_STATE, NODE_LONG, NODE_SHORT, NODE_GROSS, NODE_OPEN_BUY, NODE_OPEN_SELL, NODE_LIVE, NODE_VALUE,
    NODE_ORDER_MICRO_MAX, NODE_GROSS_MAX, NODE_NET_MAX, NODE_OPEN_MAX, NODE_LIVE_MAX, NODE_LOSS_MAX,
    NODE_ORDER_MESSAGES_MAX, NODE_DENIED_MAX,
    NODE_MESSAGES_MAX, NODE_BASELINE, NODE_IS_LOSS_UNKNOWN, NODE_KIND, NODE_BEHAVIOUR,
) = range(21)  # fmt: skip
NODE_MESSAGES = 21
NODE_DENIED = 40
NODE_GUARD = 59  # what breakers and factors of the scope come to (`families/places.py`), 0 when it has none
NODE_WORDS = 64

(
    CELL_ORDER_MAX, CELL_LONG_MAX, CELL_SHORT_MAX, CELL_PARTICIPATION_MAX,
    CELL_POSITION, CELL_BUY, CELL_SELL, CELL_BUY_MICRO, CELL_SELL_MICRO, CELL_HELD_LONG_MICRO, CELL_HELD_SHORT_MICRO,
    CELL_CASH_RAW, CELL_FEES_MICRO, CELL_VALUE,
    CELL_NODE, CELL_INSTRUMENT, CELL_NEXT_OF_INSTRUMENT, CELL_KEY,
) = range(18)  # fmt: skip
CELL_WORDS = 24

(
    PARENT_ID, PARENT_STATE, PARENT_ROUTE, PARENT_SIDE, PARENT_QUANTITY, PARENT_FILLED, PARENT_LIVE, PARENT_CHILDREN,
    PARENT_AMENDS,
    PARENT_CHILDREN_MAX, PARENT_AMENDS_MAX, PARENT_NEXT_FREE,
    PARENT_ARRIVAL, PARENT_COST, PARENT_DRIFT, PARENT_COUNTED,
) = range(16)  # fmt: skip
PARENT_WORDS = 16
PARENT_FREE_STATE, PARENT_OPEN, PARENT_CLOSED_STATE = 0, 1, 2

(
    ORDER_ID, ORDER_STATE, ORDER_PARENT, ORDER_ROUTE, ORDER_SIDE, ORDER_TOTAL, ORDER_FILLED, ORDER_RESERVED,
    ORDER_PRICE, ORDER_MICRO,
    ORDER_IS_AGGRESSIVE, ORDER_TYPE, ORDER_OLD_TOTAL, ORDER_OLD_PRICE, ORDER_SEQUENCE, ORDER_TRIGGER, ORDER_NEXT_FREE,
    ORDER_IS_CANCELLING,
    ORDER_VALUE_PRICE, ORDER_OLD_VALUE_PRICE, ORDER_OLD_TRIGGER, ORDER_IS_ENDING, ORDER_NEXT_OWN, ORDER_PREVIOUS_OWN,
    ORDER_AMEND_REQUEST,
) = range(25)  # fmt: skip
ORDER_WORDS = 26
FREE, RESERVED, SENT, WORKING, UNKNOWN, AMENDING = 0, 1, 2, 3, 4, 5
ORDER_STATE_NAMES = ("free", "reserved", "sent", "working", "unknown", "amend pending")

ROUTE_NODES = 0  # firm, desk, strategy, model, (parent), instrument, underlying, venue, counterparty
ROUTE_CELLS = 9  # same order; the parent's own is filled in for each order, instrument and underlying use the firm's
(ROUTE_INSTRUMENT, ROUTE_VOLUME, ROUTE_IS_MODEL_APPROVED, ROUTE_MODEL_DIGEST, ROUTE_MODEL_EXPIRES, ROUTE_CHILDREN_MAX,
ROUTE_AMENDS_MAX,
 ROUTE_PARENT_ORDER_MICRO, ROUTE_PARENT_GROSS, ROUTE_PARENT_NET, ROUTE_PARENT_OPEN, ROUTE_PARENT_LIVE,
 ROUTE_PARENT_LOSS,
 ROUTE_PARENT_ORDER_MESSAGES, ROUTE_PARENT_DENIED, ROUTE_PARENT_MESSAGES, ROUTE_DUPLICATES_MAX,
 ROUTE_REJECTS_MAX, ROUTE_OWN_BOOK, ROUTE_DIGEST,
 ) = range(18, 38)  # fmt: skip
ROUTE_WORDS = 40
SCOPES = 9

(
    INSTRUMENT_KIND, INSTRUMENT_NUMERATOR, INSTRUMENT_DENOMINATOR, INSTRUMENT_RATE, INSTRUMENT_PRICE_MIN,
    INSTRUMENT_PRICE_MAX,
    INSTRUMENT_LOTS_MIN, INSTRUMENT_LOTS_MAX, INSTRUMENT_LOT_STEP, INSTRUMENT_LOTS_SAFE, INSTRUMENT_EXPIRES,
    INSTRUMENT_IS_RESTRICTED,
    INSTRUMENT_COLLAR_BPS, INSTRUMENT_IS_ONE_SIDED, INSTRUMENT_STATIC_TICKS, INSTRUMENT_IS_STATIC_FIXED,
    INSTRUMENT_REFERENCE_AGE_MAX,
    INSTRUMENT_SPREAD_BPS_MAX, INSTRUMENT_PHASE, INSTRUMENT_PHASE_NS, INSTRUMENT_SESSION_FIRST,
    INSTRUMENT_SESSION_COUNT,
    INSTRUMENT_UNDERLYING, INSTRUMENT_STRESS_BPS, INSTRUMENT_UNDERLYING_NUMERATOR, INSTRUMENT_UNDERLYING_DENOMINATOR,
    INSTRUMENT_HIGH, INSTRUMENT_LOW, INSTRUMENT_FIRST_CELL, INSTRUMENT_VOLUME, INSTRUMENT_NODE,
    INSTRUMENT_UNDERLYING_NODE,
    INSTRUMENT_HAS_OPTIONS,
) = range(33)  # fmt: skip
INSTRUMENT_BANDS = 33  # four times (first price, step)
INSTRUMENT_REFERENCES = 41  # three sources times (bid, ask, exchange time, receive time, is healthy)
INSTRUMENT_PRICES = 56  # the row of its price rules, 0 without any
INSTRUMENT_WORDS = 64
BANDS, SOURCES = 4, 3
REFERENCE_WORDS = 5
LINEAR, INVERSE, OPTION = 0, 1, 2

RATE_MICRO, RATE_NS, RATE_IS_FIXED = 0, 1, 2
RATE_WORDS = 4

VOLUME_NS, VOLUME_FIRST_NS, VOLUME_LIVE, VOLUME_FLOOR = 0, 1, 2, 3
VOLUME_MARKET = 4
VOLUME_OWN = VOLUME_MARKET + WINDOW_WORDS
VOLUME_WORDS = 48

# What a price is compared with besides the static reference; only instruments with such a rule have a row. Each
# source has a middle rounded down and one rounded up; behind them, the price at which each part of the window began.
(
    PRICES_COLLAR_BPS, PRICES_FRESH_MIN, PRICES_APART_BPS, PRICES_WALK_BPS, PRICES_DISAGREED_NS, PRICES_DISAGREED_BPS,
    PRICES_LATEST, PRICES_PART,
) = range(8)  # fmt: skip
PRICES_LOW, PRICES_HIGH, PRICES_STARTS = 8, 11, 14
PRICES_WORDS = 32

# What a scope does over time; only scopes with a limit on it have a row, which their node names.
(
    BEHAVIOUR_TURNOVER, BEHAVIOUR_TURNOVER_MAX, BEHAVIOUR_REPEATS, BEHAVIOUR_REPEATS_MAX, BEHAVIOUR_IS_FILLED,
    BEHAVIOUR_CANCEL_BPS_MAX, BEHAVIOUR_PER_TRADE_MAX,
) = range(7)  # fmt: skip
BEHAVIOUR_ORDERS = 8
BEHAVIOUR_CANCELS = BEHAVIOUR_ORDERS + WINDOW_WORDS
BEHAVIOUR_FILLS = BEHAVIOUR_CANCELS + WINDOW_WORDS
BEHAVIOUR_WORDS = 72

# The live orders of one beneficial owner in one instrument and book: buys, then sells, three words each.
OWN_FIRST, OWN_BEST, OWN_IS_STALE = 0, 1, 2
OWN_SELLS = 3
OWN_WORDS = 8

# The last so many of something: how many there were and the newest time, the newest of each hash, then the rows.
RECENT_ROWS = 512
RECENT_COUNT, RECENT_NEWEST_NS, RECENT_HEADS = 0, 1, 2
RECENT_FIRST = RECENT_HEADS + RECENT_ROWS
RECENT_KEY, RECENT_NS, RECENT_PREVIOUS, RECENT_REASON = 0, 1, 2, 3
RECENT_ROW_WORDS = 4
RECENT_WORDS = RECENT_FIRST + RECENT_ROWS * RECENT_ROW_WORDS

REQUEST_WORDS = 24  # identifier, content digest, sequence, permit (2 words), then head and the 16 result words
EXECUTION_WORDS = 1
INDEX_WORDS = 2  # key (0 = free), row; an index has twice as many places as its table has rows

NO_LIMIT = 1 << 62
PRODUCT_MAX = 1 << 60  # what a product of lots and prices may reach before it is refused
MONEY_MAX = 1 << 55  # 36 thousand million; leaves room to add a hundred of them before a word is full

E = ENTRY_AT  # words of the record being made, by the names of journal/record.py
E_HEAD, E_WALL, E_MONOTONIC = E + record.WORD_HEAD, E + record.WORD_WALL_NS, E + record.WORD_MONOTONIC_NS
E_REQUEST, E_CHILD, E_PARENT = E + record.WORD_REQUEST_ID, E + record.WORD_CHILD_ID, E + record.WORD_PARENT_ID
E_ROUTE, E_SIDE, E_TYPE = E + record.WORD_ROUTE, E + record.WORD_SIDE, E + record.WORD_TYPE_AND_TIME_IN_FORCE
E_QUANTITY, E_PRICE, E_TRIGGER = (
    E + record.WORD_QUANTITY_LOTS,
    E + record.WORD_PRICE_TICKS,
    E + record.WORD_TRIGGER_TICKS,
)
E_MODEL, E_EXECUTION, E_FEE = E + record.WORD_MODEL_DIGEST, E + record.WORD_EXECUTION_ID, E + record.WORD_FEE_MICRO
E_EXCHANGE, E_SNAPSHOT = E + record.WORD_EXCHANGE_NS, E + record.WORD_SNAPSHOT_VERSION
E_FAILED, E_SCOPES, E_BINDING = (
    E + record.WORD_FAILED_CHECKS,
    E + record.WORD_FAILED_SCOPES,
    E + record.WORD_BINDING_SCOPE,
)
E_MEASURED, E_LIMIT, E_MORE = E + record.WORD_MEASURED, E + record.WORD_LIMIT, E + record.WORD_FAILED_CHECKS_MORE
E_PASSING, E_BID, E_ASK = (
    E + record.WORD_LARGEST_PASSING_LOTS,
    E + record.WORD_REFERENCE_BID_TICKS,
    E + record.WORD_REFERENCE_ASK_TICKS,
)
E_AGE, E_EXPIRY, E_NOTIONAL = (
    E + record.WORD_REFERENCE_AGE_NS,
    E + record.WORD_PERMIT_EXPIRY_NS,
    E + record.WORD_NOTIONAL_MICRO,
)
E_FENCE, E_BEFORE, E_AFTER = E + record.WORD_FENCE, E + record.WORD_DIGEST_BEFORE, E + record.WORD_DIGEST_AFTER
ENTRY_WORDS = record.WORD_COUNT


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a gate can hold at once; every table is allocated at start and never grows.

    Powers of two. `requests` is how far back an identical repeated request still gets its first verdict; an older
    identifier is refused by the high-water mark of its program.
    """

    orders: int = 1 << 14
    parents: int = 1 << 10
    requests: int = 1 << 12
    executions: int = 1 << 14
