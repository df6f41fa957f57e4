"""Follows the record in the background and answers what pages ask about orders and decisions."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from controlplane.domain.clock import NS_PER_S, Clock
from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import ControlPlaneError, DatabaseUnavailable, InvalidRequest, UnknownReference
from controlplane.domain.ids import from_text
from controlplane.runtime.logs import get_logger
from controlplane.supervision.index import DecisionQuery, Found, RecordIndex
from controlplane.supervision.orders import Child, Entry, Parent
from controlplane.supervision.projection import Book
from controlplane.supervision.units import Names

INTERVAL_NS = NS_PER_S
POLL_SECONDS = 0.25
# Longer than a poll with a full batch takes.
LATE_NS = 5 * NS_PER_S
BATCH = 5_000
# A service that starts on a long record begins here; what lies before is folded again when somebody asks for it.
HISTORY_MAX = 400_000

log = get_logger("supervision")


@dataclass(frozen=True, slots=True)
class Following:
    """How well the record is being followed.

    Fields
        read_ns     when it was last read to its end; 0 before the first time
        error       why the latest attempt failed; empty when it didn't
        failing_ns  since when; 0 when it doesn't fail
        sequence    records taken in, over all logs; grows only
    """

    read_ns: int = 0
    error: str = ""
    failing_ns: int = 0
    sequence: int = 0

    def is_up(self, now_ns: int) -> bool:
        """Whether the database answered lately; one that is frozen rather than gone raises nothing and is late."""
        return not self.error and now_ns - self.read_ns < LATE_NS


class Supervision:
    """Orders and decisions for pages.

    Arguments
        index  search index over the journal
        names  names behind the numbers of records
        clock  wall time
    """

    def __init__(self, index: RecordIndex, *, names: Names, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._lock = threading.RLock()
        self._book = Book(routes=names.route_names)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.names = names
        self.following = Following()

    @contextmanager
    def reading(self) -> Iterator[Book]:
        """The book, which doesn't change while it is held; hold it briefly."""
        with self._lock:
            yield self._book

    def poll(self) -> int:
        """How many records were taken in; a database that is away is noted, not raised."""
        try:
            taken = sum(self._follow(name, newest) for name, newest in self._index.newest().items())
        except DatabaseUnavailable as error:
            since_ns = self.following.failing_ns or self._clock.wall_ns()
            self.following = Following(self.following.read_ns, str(error), since_ns, self.following.sequence)
            return 0
        with self._lock:
            sequence = sum(self._book.positions.values())
        self.following = Following(self._clock.wall_ns(), sequence=sequence)
        return taken

    def start(self) -> None:
        """Keep following in the background until `stop`."""
        self._thread = threading.Thread(target=self._run, name="supervision", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return once nothing more is read."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def parent(self, parent_id: str) -> tuple[Parent, dict[str, Child]]:
        """A parent order with its children by identifier.

        Errors
            InvalidRequest, UnknownReference, DatabaseUnavailable
        """
        _check_id(parent_id)
        with self._lock:
            parent = self._book.parents.get(parent_id)
            if parent is not None:
                return parent, {key: self._book.children[key] for key in parent.children if key in self._book.children}
        book = self._folded(self._index.about_parent(parent_id))
        if parent_id not in book.parents:
            raise UnknownReference(f"No parent order {parent_id} is in the record; the Orders page lists all.")
        return book.parents[parent_id], book.children

    def child(self, child_id: str) -> tuple[Child, Parent | None]:
        """A child order with its parent, as far as the record knows it.

        Errors
            InvalidRequest, UnknownReference, DatabaseUnavailable
        """
        _check_id(child_id)
        with self._lock:
            child = self._book.children.get(child_id)
            if child is not None:
                return child, self._book.parents.get(child.parent_id)
        entries = self._index.about_child(child_id)
        parent_id = next((str(entry.facts["parent_id"]) for entry in entries if entry.facts.get("parent_id")), "")
        book = self._folded(self._index.about_parent(parent_id) if parent_id else entries)
        if child_id not in book.children:
            raise UnknownReference(f"No child order {child_id} is in the record; its block's page lists all.")
        return book.children[child_id], book.parents.get(parent_id)

    def decision(self, place: str) -> Entry:
        """The record of one decision.

        Errors
            InvalidRequest for a text that is no place, UnknownReference, DatabaseUnavailable
        """
        name, seq = parse_place(place)
        entry = self._index.find(name, seq)
        if entry is None:
            raise UnknownReference(f"The record has no {place}; if it is new, try again in a moment.")
        return entry

    def decisions(self, query: DecisionQuery) -> Found:
        """Decisions that match, the newest first.

        Errors
            InvalidRequest for a `before` that is no place or a code that doesn't exist, DatabaseUnavailable
        """
        if query.before:
            parse_place(query.before)
        if query.code and query.code not in DenialCode.__members__:
            raise InvalidRequest(f"No denial code is called {query.code[:60]!r}.", field="code")
        return self._index.decisions(query)

    def child_states(self) -> dict[str, str]:
        """The state of every child that is remembered."""
        with self._lock:
            return self._book.child_states()

    def routes_of_parents(self) -> dict[str, dict[str, str]]:
        """The route names of every parent that is remembered."""
        with self._lock:
            return self._book.routes_of_parents()

    def _follow(self, name: str, newest: int) -> int:
        with self._lock:
            position = self._book.positions.get(name, max(0, newest - HISTORY_MAX))
            self._book.positions.setdefault(name, position)
        taken = 0
        while not self._stopping.is_set():
            entries = self._index.after(name, position, limit=BATCH)
            with self._lock:
                for entry in entries:
                    self._book.apply(entry)
            taken += len(entries)
            if len(entries) < BATCH:
                break
            position = entries[-1].seq
        with self._lock:
            # Records that are none of ours still count as read.
            self._book.positions[name] = max(self._book.positions[name], newest)
        return taken

    def _folded(self, entries: list[Entry]) -> Book:
        book = Book(routes=self.names.route_names)
        for entry in sorted(entries, key=lambda entry: (entry.log, entry.seq)):
            book.apply(entry)
        return book

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                taken = self.poll()
            except ControlPlaneError as error:
                log.error("record_not_followed", detail=str(error))
                taken = 0
            if taken < BATCH:
                self._stopping.wait(POLL_SECONDS)


def parse_place(place: str) -> tuple[str, int]:
    """Log and sequence of a place written `gate-0.512`.

    Errors
        InvalidRequest
    """
    name, separator, number = place.rpartition(".")
    is_number = number.isascii() and number.isdigit() and len(number) <= 18
    if not separator or not is_number or not name or len(place) > 80:
        raise InvalidRequest(f"Expected the place of a record such as gate-0.512, found {place[:80]!r}.", field="place")
    return name, int(number)


def _check_id(identifier: str) -> None:
    from_text(identifier)
