"""What each denial code means and what ends it, for people who read one and for the generated page.

The sentence with the numbers of one decision is in `verdict.py`; here is what holds for every decision with this code.
"""

from dataclasses import dataclass

from controlplane.domain.decisions import DenialCode


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the code says about an order, and what has to happen before the same order could pass."""

    meaning: str
    ends: str


EXPLANATIONS: dict[DenialCode, Explanation] = {
    DenialCode.MALFORMED_REQUEST: Explanation(
        "A field is out of range, or two fields contradict each other; nothing else was looked at.",
        "A correct request; this one used no identifier up.",
    ),
    DenialCode.ARITHMETIC_OVERFLOW: Explanation(
        "The worth of the order can't be formed exactly in 64 bits.",
        "A smaller order, or a rate of exchange that isn't absurd.",
    ),
    DenialCode.REQUEST_ID_REUSED: Explanation(
        "The identifier belongs to another request, or is older than the newest one of its program.",
        "A new identifier. The same request under its own identifier gets its first verdict again.",
    ),
    DenialCode.GATE_KILLED: Explanation(
        "The kill switch of the machine is thrown, missing or damaged.",
        "Two people lift the kill.",
    ),
    DenialCode.SNAPSHOT_EXPIRED: Explanation(
        "The limits have outlived the time for which they were made.",
        "The gate starts with newer limits.",
    ),
    DenialCode.ROUTE_UNKNOWN: Explanation(
        "The number is no route of the limits. The routes are the allow list: what isn't one may not be traded.",
        "A route that the limits hold, asked for by its names.",
    ),
    DenialCode.PARENT_UNKNOWN: Explanation(
        "No parent order of this identifier is open for this desk, strategy, model, instrument and side.",
        "The parent is opened before its first child.",
    ),
    DenialCode.PARENT_CLOSED: Explanation(
        "The parent order has ended; only its last live children are awaited.",
        "Nothing; a new parent order.",
    ),
    DenialCode.CHILD_UNKNOWN: Explanation(
        "The order to amend was never permitted by this gate, or has ended.",
        "Nothing; a new order.",
    ),
    DenialCode.CHILD_NOT_AMENDABLE: Explanation(
        "The order isn't working yet, is being cancelled or amended, or belongs to another route or parent.",
        "The venue's answer to what is on its way.",
    ),
    DenialCode.SCOPE_HALTED: Explanation(
        "A scope of the order is halted, by a person, by a loss, or at the roll of a day whose loss was unknown.",
        "Two people lift the halt.",
    ),
    DenialCode.SCOPE_PAUSED: Explanation(
        "A scope of the order is paused.",
        "One operator lifts the pause.",
    ),
    DenialCode.REDUCE_ONLY_EXCEEDED: Explanation(
        "A scope of the order is reduce-only, and the order isn't proved to shrink its position there.",
        "An order no larger than the position less the live orders that reduce it already, or a lift.",
    ),
    DenialCode.INSTRUMENT_EXPIRED: Explanation(
        "The instrument's expiry has passed.",
        "Nothing.",
    ),
    DenialCode.INSTRUMENT_RESTRICTED: Explanation(
        "The instrument is on the restricted list, which wins over every permission, also to reduce.",
        "New limits without it on the list.",
    ),
    DenialCode.MODEL_NOT_APPROVED: Explanation(
        "The model of the route isn't approved, or its approval has expired.",
        "An approval in new limits; until then the fallback strategy may ask.",
    ),
    DenialCode.MODEL_DIGEST_MISMATCH: Explanation(
        "The bytes of the model that asked are not the approved ones.",
        "The approved file is loaded, or the new bytes are approved.",
    ),
    DenialCode.OUTSIDE_TRADING_HOURS: Explanation(
        "The moment lies in no session of the instrument's calendar.",
        "The next session begins.",
    ),
    DenialCode.PHASE_UNKNOWN: Explanation(
        "The venue's trading phase was never stated, or too long ago, or as unknown; a proved reduction passes.",
        "The phase is stated again.",
    ),
    DenialCode.PHASE_NOT_TRADING: Explanation(
        "The instrument is closed, in an auction or halted by its venue.",
        "Continuous trading.",
    ),
    DenialCode.PRICE_OFF_TICK: Explanation(
        "The price lies between two prices of the instrument's grid.",
        "A price on the grid.",
    ),
    DenialCode.PRICE_OUT_OF_RANGE: Explanation(
        "The price is below the lowest or above the highest that the venue accepts.",
        "A price within the range.",
    ),
    DenialCode.QUANTITY_OFF_LOT: Explanation(
        "The quantity is no whole number of lot steps.",
        "A quantity on the grid.",
    ),
    DenialCode.QUANTITY_BELOW_VENUE_MINIMUM: Explanation(
        "The quantity is below the venue's minimum.",
        "A larger quantity.",
    ),
    DenialCode.QUANTITY_ABOVE_VENUE_MAXIMUM: Explanation(
        "The quantity is above the venue's maximum for one order.",
        "A smaller quantity.",
    ),
    DenialCode.PROTECTION_LIMIT_MISSING: Explanation(
        "A market or stop order names no worst price.",
        "The order carries its protection limit as its price.",
    ),
    DenialCode.TRIGGER_PRICE_INVALID: Explanation(
        "The trigger of a stop order is off its grid or beyond its range.",
        "A trigger on the grid and within the range.",
    ),
    DenialCode.REFERENCE_MISSING: Explanation(
        "No source has a healthy price for the instrument or for what it is valued at; a proved reduction passes.",
        "A two-sided book that is neither crossed, locked, empty nor too wide, or a mark or last trade in its place.",
    ),
    DenialCode.REFERENCE_STALE: Explanation(
        "Every healthy price is too old, by the venue's time or by ours; a proved reduction passes.",
        "A fresh price.",
    ),
    DenialCode.RATE_MISSING: Explanation(
        "The currency has no rate of exchange, or an old one; a proved reduction passes on an old one.",
        "The rate is observed again.",
    ),
    DenialCode.PRICE_OUTSIDE_COLLAR: Explanation(
        "Price or trigger is too far from the static reference, whose bounds are rounded inwards.",
        "A price within the collar, or a new static reference at the next roll of the day.",
    ),
    DenialCode.ORDER_QUANTITY_ABOVE_LIMIT: Explanation(
        "The total quantity of the order is above what one order may have in a scope.",
        "A smaller order.",
    ),
    DenialCode.ORDER_NOTIONAL_ABOVE_LIMIT: Explanation(
        "The worth of the whole order at its worst price is above what one order may have in a scope.",
        "A smaller order.",
    ),
    DenialCode.PARENT_QUANTITY_EXCEEDED: Explanation(
        "Filled and live children together would be more than the parent order, by the venue's fills.",
        "A smaller order, or the confirmed end of a live child.",
    ),
    DenialCode.PARENT_CHILDREN_ABOVE_LIMIT: Explanation(
        "The parent order has had as many children as its strategy allows.",
        "Nothing; a new parent order.",
    ),
    DenialCode.PARENT_AMENDS_ABOVE_LIMIT: Explanation(
        "The children of the parent order have been amended as often as its strategy allows.",
        "Nothing; the children can still be cancelled.",
    ),
    DenialCode.LOSS_UNKNOWN: Explanation(
        "The scope holds a position without a fresh price, so its loss can't be known; a proved reduction passes.",
        "A fresh price for every position, noticed at the next tick of the gate's clock.",
    ),
    DenialCode.DAILY_LOSS_ABOVE_LIMIT: Explanation(
        "The loss of the day is above its limit although the halt was lifted; a proved reduction passes.",
        "A gain, the roll of the day, or a higher limit.",
    ),
    DenialCode.POSITION_ABOVE_LIMIT: Explanation(
        "The position, with every live order of the same side filled, would be too long or too short in a scope.",
        "A smaller order, or the confirmed end of a live one.",
    ),
    DenialCode.GROSS_NOTIONAL_ABOVE_LIMIT: Explanation(
        "The sum of worst cases over all instruments of a scope would be too large; a proved reduction passes.",
        "A smaller order, the confirmed end of a live one, or a smaller position.",
    ),
    DenialCode.NET_NOTIONAL_ABOVE_LIMIT: Explanation(
        "The worst longs, or the worst shorts, of a scope together would be too large; a proved reduction passes.",
        "A smaller order, the confirmed end of a live one, or a smaller position.",
    ),
    DenialCode.OPEN_NOTIONAL_ABOVE_LIMIT: Explanation(
        "The live orders of this side in a scope would together be worth too much.",
        "A smaller order, or the confirmed end of a live one.",
    ),
    DenialCode.LIVE_ORDERS_ABOVE_LIMIT: Explanation(
        "The scope has as many live orders as it may, orders without an answer included.",
        "The confirmed end of a live order.",
    ),
    DenialCode.MESSAGE_RATE_ABOVE_LIMIT: Explanation(
        "The scope has sent as many messages in the window as are not kept for cancels.",
        "Time; cancels pass meanwhile.",
    ),
    DenialCode.DENIED_RATE_ABOVE_LIMIT: Explanation(
        "Too many requests of the scope were denied in the window: something asks in a loop.",
        "Time without further denials; those for this reason alone don't prolong it.",
    ),
    DenialCode.PARTICIPATION_UNKNOWN: Explanation(
        "The market's volume was never stated, or too long ago; a proved reduction passes.",
        "The volume is stated again, be it zero.",
    ),
    DenialCode.PARTICIPATION_ABOVE_LIMIT: Explanation(
        "Our fills, our live aggressive orders and this order would be too large a share of the market's volume.",
        "A smaller order, more volume, or time.",
    ),
    DenialCode.CAPACITY_EXHAUSTED: Explanation(
        "The gate holds as many live orders as it has room for.",
        "The confirmed end of a live order.",
    ),
    DenialCode.PRICE_OUTSIDE_DYNAMIC_COLLAR: Explanation(
        "Price or trigger is too far from a fresh reference: the book's microprice, the mark or the last trade.",
        "A price near every one of them.",
    ),
    DenialCode.REFERENCES_TOO_FEW: Explanation(
        "Fewer references than the instrument asks for are healthy and fresh; a proved reduction passes.",
        "Another source states a price.",
    ),
    DenialCode.REFERENCES_DISAGREE: Explanation(
        "Fresh references lay too far apart not long ago, so none of them is believed; a proved reduction passes.",
        "They agree for as long as the rule book says.",
    ),
    DenialCode.PRICE_WALKED_TOO_FAR: Explanation(
        "On the side that pays, the price is too far from where the market was when the window began.",
        "A price nearer to that, or time: the window moves on with the market.",
    ),
    DenialCode.SELF_TRADE_POSSIBLE: Explanation(
        "The order could meet a live order of the same beneficial owner in the same book, also one being cancelled.",
        "A price that can't reach it, or the confirmed end of that order.",
    ),
    DenialCode.DUPLICATE_ORDER: Explanation(
        "The parent order has had as many orders with this price and quantity in the window as are tolerated.",
        "Time, or another price or quantity; what is denied for this isn't counted.",
    ),
    DenialCode.REJECT_LOOP: Explanation(
        "The venue has rejected exactly this request, for one reason, as often in the window as is tolerated.",
        "Any change to the request, or time.",
    ),
    DenialCode.REPEATED_EXECUTION: Explanation(
        "The scope has gone on after a fill, without a person, as often as it may.",
        "A named person enables the scope; neither time nor a new day nor a restart does.",
    ),
    DenialCode.CANCEL_RATIO_ABOVE_LIMIT: Explanation(
        "Too large a share of the orders that the scope entered in the window were cancelled.",
        "Time, in which cancels pass; below the smallest number of orders no share is judged.",
    ),
    DenialCode.TURNOVER_ABOVE_LIMIT: Explanation(
        "The fills of the day, buys and sells both, with everything live would be worth too much for the scope.",
        "A smaller order, the confirmed end of a live one, or the roll of the day; a reduction is turnover too.",
    ),
    DenialCode.GATE_UNAVAILABLE: Explanation(
        "The gate of the machine doesn't answer, so the program that asked denies by itself.",
        "The gate runs again; the program reaches it without help.",
    ),
    DenialCode.JOURNAL_UNAVAILABLE: Explanation(
        "The gate couldn't record its decision, so it made none and ended.",
        "The disk is repaired or has space, and the gate starts again.",
    ),
    DenialCode.FILL_VELOCITY_ABOVE_LIMIT: Explanation(
        "A breaker is open since fills of the scope in its window were worth too much; cancels pass.",
        "The breaker's times, when it ends by itself; else people lift the scope.",
    ),
    DenialCode.DRAWDOWN_ABOVE_LIMIT: Explanation(
        "A breaker is open since the worth of the scope fell too far below its highest.",
        "The breaker's times, when it ends by itself; else people lift the scope, and the highest is counted afresh.",
    ),
    DenialCode.LOSS_VELOCITY_ABOVE_LIMIT: Explanation(
        "A breaker is open since the scope lost too much within its window.",
        "A window without such a loss and the breaker's times, or a lift by people.",
    ),
    DenialCode.PROBATION_SIZE_EXCEEDED: Explanation(
        "A breaker of the scope lets only small orders pass: it is half-open, or it reduces sizes.",
        "A smaller order, or the end of the probation.",
    ),
    DenialCode.BREAKER_OPEN: Explanation(
        "A breaker of the scope is open, or doesn't know what it should; `controlplane breakers` names it.",
        "Its measure clear, or known again, for the breaker's times; a latched one people lift.",
    ),
    DenialCode.MODEL_UNCERTAIN: Explanation(
        "A breaker is open since the model's predictive interval is too wide, or since its width isn't known.",
        "A narrower interval for the breaker's times; until then the fallback strategy may ask.",
    ),
    DenialCode.SUPERVISION_MISSING: Explanation(
        "Supervisor, market data, clock or journal gives no sign of life: the dead-man stops the scope.",
        "Signs of life for the clean time; a halt two people lift.",
    ),
    DenialCode.ORDERS_PER_TRADE_ABOVE_LIMIT: Explanation(
        "The scope has entered too many orders in the window for each fill it had.",
        "Time, or fills of what works already.",
    ),
    DenialCode.CONTRACTED_LIMIT_EXCEEDED: Explanation(
        "The order or the worst position is above a limit in lots that a dynamic factor has made smaller.",
        "A smaller order, or the recovery of the factor after a quiet time.",
    ),
    DenialCode.CONTRACTED_NOTIONAL_EXCEEDED: Explanation(
        "Live orders or gross positions are above a limit in money that a dynamic factor has made smaller.",
        "A smaller order, the confirmed end of a live one, or the recovery of the factor after a quiet time.",
    ),
}
