"""Recorded commands under other limits: the same names have other numbers there, and some names aren't there at all."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.scopes import Level
from controlplane.gate.kernel.carry import CONTRACT_FIELDS
from controlplane.gate.kernel.loading import State
from controlplane.gate.snapshot import Snapshot
from controlplane.journal import record
from controlplane.journal.record import RecordKind

# A number that no table reaches: the gate answers that it doesn't know the name.
UNKNOWN_NUMBER = 1 << 30

BY_ROUTE = (RecordKind.ORDER_DECIDED, RecordKind.REPORT_APPLIED, RecordKind.PARENT_OPENED)
BY_SCOPE = (RecordKind.SCOPE_STATE_SET, RecordKind.REPEATS_CLEARED)
BY_INSTRUMENT = (RecordKind.REFERENCE_APPLIED, RecordKind.VOLUME_APPLIED, RecordKind.PHASE_APPLIED)


class Renumbering:
    """From the numbers of the limits that a record was made under to those of others.

    Arguments
        old, new  states under the recorded limits and under the others; only their names are read
    """

    def __init__(self, old: State, new: State) -> None:
        self._routes = _table(old.handles.routes, new.handles.routes)
        self._instruments = _table(old.handles.instruments, new.handles.instruments)
        self._venues = _table(old.handles.venues, new.handles.venues)
        self._currencies = _table(old.handles.currencies, new.handles.currencies)
        self._scopes = _table(old.handles.scopes, new.handles.scopes)

    def entries(self, entries: Any) -> Any:
        """Return a copy of recorded entries that names everything by the numbers of the other limits.

        Arguments
            entries  int64 [n, 32]
        """
        made = np.array(entries, np.int64, order="C")
        kinds = made[:, record.WORD_HEAD] & 0xFF
        _replace(made, np.isin(kinds, BY_ROUTE), record.WORD_ROUTE, self._routes)
        _replace(made, np.isin(kinds, BY_INSTRUMENT), record.WORD_ROUTE, self._instruments)
        _replace(made, kinds == RecordKind.VOLUME_APPLIED, record.WORD_SIDE, self._venues)
        _replace(made, kinds == RecordKind.RATE_APPLIED, record.WORD_ROUTE, self._currencies)
        # A scope's kind and number stand where a decision has child and parent; a parent order is named by identifier.
        is_scope = np.isin(kinds, BY_SCOPE) & (made[:, record.WORD_CHILD_ID] != Level.PARENT)
        _replace(made, is_scope | (kinds == RecordKind.MEASURE_APPLIED), record.WORD_PARENT_ID, self._scopes)
        return made


def check_contracts(recorded: Snapshot, other: Snapshot) -> None:
    """Return when every instrument that both limits know has the same ticks, lots and worth.

    Errors
        InvalidRequest names the instrument and the field: recorded quantities would mean something else
    """
    instruments = {rules.instrument.name: rules.instrument for rules in other.instruments}
    for rules in recorded.instruments:
        own, another = rules.instrument, instruments.get(rules.instrument.name)
        for field in CONTRACT_FIELDS if another is not None else ():
            if getattr(own, field) != getattr(another, field):
                raise InvalidRequest(
                    f"Expected {own.name} with the {field} {getattr(own, field)} that it was traded with, found "
                    f"{getattr(another, field)}; recorded lots and ticks can't be judged under other ones: take a "
                    "rule book with the same contract.",
                    field="limits",
                )


def _table(old: Sequence[Hashable], new: Sequence[Hashable]) -> Any:
    numbers = {name: number for number, name in enumerate(new)}
    return np.array([numbers.get(name, UNKNOWN_NUMBER) for name in old], np.int64)


def _replace(made: Any, rows: Any, word: int, table: Any) -> None:
    """Replace one word of some rows; a number that named nothing then names nothing now."""
    numbers = made[rows, word]
    is_named = (numbers >= 0) & (numbers < len(table))
    found = np.where(numbers < 0, numbers, UNKNOWN_NUMBER)
    found[is_named] = table[numbers[is_named]]
    made[rows, word] = found
