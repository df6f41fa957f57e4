"""From the record of a decision to the answer that a program and a person read: codes, numbers, permit, one sentence.

The record holds everything; this file only names it. Both shapes of the gate use it, so that the same record always
reads the same.
"""

from collections.abc import Sequence
from decimal import Decimal

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import Binding, DenialCode, Outcome, Permit, Verdict, codes_of
from controlplane.domain.ids import to_text
from controlplane.domain.observations import Phase
from controlplane.domain.quantities import micro_to_decimal
from controlplane.domain.scopes import FIRM, SCOPE_KINDS, Level
from controlplane.gate.denials.sentences import SENTENCES
from controlplane.gate.words import Handles

# Where each number stands in the record; `journal/record.py` holds the same list with its meaning.
HEAD, REQUEST, PARENT, ROUTE, QUANTITY, PRICE, TRIGGER = 0, 3, 5, 6, 9, 10, 11
VERSION, FAILED, BINDING, MEASURED, LIMIT, MORE, PASSING = 16, 17, 19, 20, 21, 22, 23
EXPIRY, FENCE = 27, 29
NO_LIMIT = 1 << 62
HEADROOM_SCHEMA = 1  # of records whose word 22 is no mask
NEVER_NS = 10 * 365 * 86_400 * NS_PER_S

ALLOWED = int(Outcome.ALLOWED)
NO_PERMIT = bytes(16)
UNKNOWN_NAME = "unknown"


def verdict_of(
    entry: Sequence[int], *, sequence: int, gate_id: int, epoch: int, permit_code: bytes, handles: Handles
) -> Verdict:
    """Return the answer that a record of a decision stands for.

    Arguments
        entry        the 32 words of the record
        sequence     journal sequence of the decision; of the first one when the request was asked before
        permit_code  16 bytes, zeros when no permit was issued
        handles      names behind the numbers of the record
    """
    words = entry if type(entry) is list else [int(word) for word in entry]
    head = words[HEAD]
    code = _CODES.get(head >> 32 & 0xFFFF)
    binding = _binding(words, code, handles)
    if head >> 16 & 0xFFFF == ALLOWED:
        permit = None
        if permit_code != NO_PERMIT:
            permit = Permit(gate_id, epoch, sequence, words[EXPIRY], words[FENCE], bytes(permit_code))
        return Verdict(Outcome.ALLOWED, (), binding, 0, permit, sequence, words[VERSION])
    codes = codes_of(words[FAILED], words[MORE] if head >> 56 & 0xFF > HEADROOM_SCHEMA else 0)
    return Verdict(
        outcome=Outcome.DENIED,
        codes=codes or ((code,) if code else ()),
        binding=binding,
        largest_passing_lots=words[PASSING],
        permit=None,
        sequence=sequence,
        snapshot_version=words[VERSION],
        explanation=explain(words, handles),
    )


def unavailable(code: DenialCode = DenialCode.GATE_UNAVAILABLE, explanation: str = "") -> Verdict:
    """Return the denial that is made on this side when the gate gave none."""
    return Verdict(
        outcome=Outcome.DENIED,
        codes=(code,),
        binding=None,
        largest_passing_lots=0,
        permit=None,
        sequence=0,
        snapshot_version=0,
        explanation=explanation or SENTENCES[code][1],
    )


def explain(entry: Sequence[int], handles: Handles) -> str:
    """Return one sentence for a person: the rule, what was measured, the limit, and what would pass instead."""
    words = [int(word) for word in entry]
    code = _CODES.get(words[HEAD] >> 32 & 0xFFFF)
    if code is None:
        return "The order was denied for a reason that this program is too old to name; read the record itself."
    unit, sentence = SENTENCES[code]
    route = handles.routes[words[ROUTE]] if 0 <= words[ROUTE] < len(handles.routes) else None
    passing = words[PASSING]
    return _capitalised(
        sentence.format(
            instrument=route.instrument if route else "this instrument",
            model=route.model if route else UNKNOWN_NAME,
            scope=_scope_name(words, handles),
            request=to_text(words[REQUEST]) if words[REQUEST] >= 0 else UNKNOWN_NAME,
            parent=to_text(words[PARENT]) if words[PARENT] >= 0 else UNKNOWN_NAME,
            quantity=amount(words[QUANTITY], "lots", handles),
            price=amount(words[PRICE], "ticks", handles),
            trigger=amount(words[TRIGGER], "ticks", handles),
            measured=amount(words[MEASURED], unit, handles),
            limit=amount(words[LIMIT], unit, handles),
            age=_age(words[MEASURED], handles),
            overrun=amount(words[MEASURED] - words[LIMIT], unit, handles),
            phase=_phase_name(words[MEASURED]),
            version=words[VERSION],
            passing=f"at most {amount(passing, 'lots', handles)} would pass now"
            if passing
            else "no quantity would pass now",
        )
    )


def amount(value: int, unit: str, handles: Handles) -> str:
    """Return a number of the gate with its unit, as a person reads it: `1,250.00 USD`, `40 lots`, `2.5 s`."""
    if abs(value) >= NO_LIMIT:
        return "no limit"
    if unit == "micro":
        return f"{micro_to_decimal(value).quantize(Decimal('0.01')):,} {handles.reporting_currency}"
    if unit == "ns":
        places, short = (-9, "s") if abs(value) >= NS_PER_S else (-6, "ms")
        return f"{Decimal(value).scaleb(places).quantize(Decimal('0.001')):,} {short}"
    if unit == "count":
        return f"{value:,}"
    singular = {"lots": "lot", "ticks": "tick"}.get(unit, unit)
    return f"{value:,} {singular if abs(value) == 1 else unit}"


def _binding(words: list[int], code: DenialCode | None, handles: Handles) -> Binding | None:
    if code is None or (words[MEASURED] == 0 and words[LIMIT] == 0):
        return None
    measured, limit = words[MEASURED], words[LIMIT]
    return Binding(code, _scope_name(words, handles), measured, limit, limit - measured, SENTENCES[code][0])


def _scope_name(words: list[int], handles: Handles) -> str:
    """Return the scope that decided, `desk:crypto`; the firm where a check belongs to no scope."""
    kind, node = words[BINDING] & 0xFF, words[BINDING] >> 8
    if kind == Level.PARENT:
        return f"parent:{to_text(words[PARENT])}"
    if kind < len(SCOPE_KINDS) and 0 <= node < len(handles.scopes):
        return handles.scopes[node]
    return str(FIRM)


def _age(value_ns: int, handles: Handles) -> str:
    """Return an age; what was never stated carries the age of the epoch itself."""
    return "never" if value_ns > NEVER_NS else f"{amount(value_ns, 'ns', handles)} ago"


def _phase_name(number: int) -> str:
    return Phase(number).name.lower().replace("_", " ") if number in _PHASES else str(number)


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


_CODES = {int(code): code for code in DenialCode}
_PHASES = frozenset(int(phase) for phase in Phase)
