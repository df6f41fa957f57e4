"""The kill switch of one machine: a file of one page that every program maps and anyone of this user may throw.

Standard library only, so that a stop works when nothing else of the product can be loaded. The file holds two numbers
that decide: the state, where 1 is armed and everything else is killed, and the fence, which only grows. Missing, short
or damaged means killed. Programs that mapped it see a change at their next reading, with no message between them.

    word 0  magic            word 2  fence                      word 4  generation of the last change
    word 1  state, 1 armed   word 3  wall time of the change    byte 64 on  {"by": ..., "reason": ...}, zeros after it
"""

import fcntl
import json
import mmap
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from controlplane.domain.errors import StateConflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

FILE_NAME = "switch"
FILE_BYTES = 4096
MAGIC = 0x4350_5357_4954_4348  # "CPSWITCH"
ARMED = 1
KILLED = 2
WORD_MAGIC, WORD_STATE, WORD_FENCE, WORD_WALL_NS, WORD_GENERATION = range(5)
TEXT_OFFSET = 64
PERSON_LETTERS_MAX = 120
REASON_LETTERS_MAX = 400
LOCK_SECONDS_MAX = 5.0
# How long a stop waits for another program's change of the same file; it has blocked the gate before it waits.
STOP_LOCK_SECONDS_MAX = 0.05
LOCK_POLL_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class SwitchChange:
    """The switch as its last change left it.

    Fields
        is_armed    whether orders may pass
        fence       number that voids every permit issued under an earlier one
        wall_ns     when; for a kill, the moment from which nothing passes
        by, reason  who and why, as stated
        is_durable  whether the change would survive a power cut
    """

    is_armed: bool
    fence: int
    wall_ns: int
    by: str
    reason: str
    is_durable: bool = True


class Switch:
    """The mapped file. A switch that couldn't be mapped is killed, and tried again at every question.

    `words` is the page as int64 for compiled readers; None while there is nothing to map. Once mapped it stays the same
    page for the life of the object, so that an address taken from it stays true.
    """

    def __init__(self, directory: "Path") -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        self.words: memoryview | None = None
        self._descriptor = -1
        self._mapping: mmap.mmap | None = None
        self._is_writable = False

    @classmethod
    def open(cls, directory: "Path") -> Self:
        """Return the switch of a gate directory as it stands, for reading; nothing is made and nothing is changed."""
        switch = cls(directory)
        switch._map(is_writing=False)
        return switch

    @classmethod
    def start(cls, directory: "Path", *, is_first_start: bool, fence_min: int = 0) -> Self:
        """Return the switch for a starting gate, with the fence moved on.

        Arguments
            is_first_start  a missing switch is made armed; on a machine with a record a missing one is made killed,
                            since nobody can say what state it was in
            fence_min       highest fence that the record knows, so that a new file doesn't begin below it
        Errors
            OSError when the file can't be made or mapped for writing
        """
        state = ARMED if is_first_start and not os.path.lexists(directory / FILE_NAME) else KILLED
        why = (
            "first start of this machine" if state == ARMED else "no valid switch file was found when the gate started"
        )
        switch = cls._for_change(directory, state=state, reason=why)
        words = switch._words()
        with switch._locked():
            words[WORD_FENCE] = max(words[WORD_FENCE], fence_min) + 1
            switch._flush()
        return switch

    def is_armed(self) -> bool:
        """Whether orders may pass."""
        if self.words is None and not self._map(is_writing=False):
            return False
        words = self._words()
        return bool(words[WORD_STATE] == ARMED and words[WORD_MAGIC] == MAGIC)

    def fence(self) -> int:
        """The fence of the machine; 0, which no permit carries, when the switch can't be read."""
        if self.words is None and not self._map(is_writing=False):
            return 0
        return int(self._words()[WORD_FENCE])

    def is_intact(self) -> bool:
        """Whether the file at its path is still the one that is mapped, whole and with its mark."""
        if self.words is None:
            return False
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        mapped = os.fstat(self._descriptor)
        is_same = (found.st_dev, found.st_ino) == (mapped.st_dev, mapped.st_ino)
        return bool(is_same and found.st_size == FILE_BYTES and self.words[WORD_MAGIC] == MAGIC)

    def last_change(self) -> SwitchChange:
        """The state with who set it, when and why."""
        if self.words is None and not self._map(is_writing=False):
            return SwitchChange(is_armed=False, fence=0, wall_ns=0, by="", reason="no valid switch file was found")
        words = self._words()
        by, reason = _who_and_why(self._page()[TEXT_OFFSET:])
        return SwitchChange(self.is_armed(), int(words[WORD_FENCE]), int(words[WORD_WALL_NS]), by, reason)

    def kill(self, *, reason: str, by: str) -> SwitchChange:
        """Return the switch thrown: from `wall_ns` on no order passes and no earlier permit is worth anything.

        The state is written first and everything else after it; neither a busy lock nor a failing disk holds it up.

        Errors
            OSError when there was no valid file and none could be made; a gate then stops by itself, because its
            switch is missing
        """
        if self._is_writable:
            words = self._words()
            words[WORD_STATE] = KILLED
            if not self.is_intact():
                # The file was taken away or replaced: this page stays killed, and the file is put right besides.
                words[WORD_FENCE] += 1
        if not self._is_writable or not self.is_intact():
            with Switch._for_change(self.directory, state=KILLED, reason=reason, fence=self.fence()) as other:
                return other._throw(by=by, reason=reason)
        return self._throw(by=by, reason=reason)

    def arm(self, *, reason: str, by: str, fence: int) -> SwitchChange:
        """Return the switch armed again; whoever calls this has asked the two people whom it takes.

        Arguments
            fence  the fence that those people saw; a kill that came after it is not undone
        Errors
            StateConflict when the fence has moved since, or the file was removed or replaced while it was mapped
        """
        if not self._is_writable and not self._map(is_writing=True):
            raise StateConflict(
                f"Expected a valid switch at {self.path}, found none; start the gate, which makes one, then lift."
            )
        if not self.is_intact():
            raise StateConflict(
                f"Expected the switch {self.path} to be the one in use, found it replaced; restart the gate, then lift."
            )
        words = self._words()
        with self._locked():
            if words[WORD_FENCE] != fence:
                raise StateConflict(
                    f"Expected the switch as it was seen, fence {fence}, found it changed, fence {words[WORD_FENCE]}; "
                    "look at the new stop before lifting it."
                )
            words[WORD_FENCE] += 1
            self._describe(by=by, reason=reason)
            words[WORD_STATE] = ARMED
            self._flush()
        return self.last_change()

    def move_fence(self) -> int:
        """Return the next fence: every permit issued and not yet sent becomes void, and the state stays as it is."""
        words = self._words()
        with self._locked(is_stop=True):
            words[WORD_FENCE] += 1
            self._flush(is_stop=True)
        return int(words[WORD_FENCE])

    def close(self) -> None:
        """Unmap the file; the state stays on disk."""
        if self.words is not None:
            self.words.release()
            self.words = None
        if self._mapping is not None:
            # Compiled readers may still hold the page; then the mapping lives as long as they do.
            with suppress(BufferError):
                self._mapping.close()
            self._mapping = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._is_writable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.close()

    @classmethod
    def _for_change(cls, directory: "Path", *, state: int, reason: str, fence: int = 0) -> Self:
        """Return the switch mapped for writing; a missing or damaged file is replaced by one in the given state."""
        switch = cls(directory)
        if not switch._map(is_writing=True):
            switch._make(state, reason, fence)
        return switch

    def _throw(self, *, by: str, reason: str) -> SwitchChange:
        words = self._words()
        words[WORD_STATE] = KILLED
        with self._locked(is_stop=True):
            words[WORD_STATE] = KILLED  # again: a lift that held the lock may have written after the line above
            words[WORD_FENCE] += 1
            wall_ns = self._describe(by=by, reason=reason)
            is_durable = self._flush(is_stop=True)
        return SwitchChange(False, int(words[WORD_FENCE]), wall_ns, by, reason, is_durable)

    def _map(self, *, is_writing: bool) -> bool:
        """Map the file if it is valid; returns whether it is."""
        self.close()
        flags = (os.O_RDWR if is_writing else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.path, flags)
        except OSError:
            return False
        if os.fstat(descriptor).st_size != FILE_BYTES:
            os.close(descriptor)
            return False
        access = mmap.PROT_READ | (mmap.PROT_WRITE if is_writing else 0)
        mapping = mmap.mmap(descriptor, FILE_BYTES, flags=mmap.MAP_SHARED, prot=access)
        words = memoryview(mapping).cast("q")
        self._descriptor, self._mapping, self.words, self._is_writable = descriptor, mapping, words, is_writing
        if words[WORD_MAGIC] == MAGIC:
            return True
        self.close()
        return False

    def _make(self, state: int, reason: str, fence: int) -> None:
        """Put a whole new file in place by a rename, so that half of one never shows."""
        head = {WORD_MAGIC: MAGIC, WORD_STATE: state, WORD_FENCE: fence, WORD_WALL_NS: time.time_ns()}
        words = b"".join(head.get(index, 0).to_bytes(8, sys.byteorder) for index in range(TEXT_OFFSET // 8))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{FILE_NAME}.{os.getpid()}.new")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, words + _text_page(by="", reason=reason))
            with suppress(OSError):
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, self.path)
        _sync_directory(self.directory)
        if not self._map(is_writing=True):
            raise OSError(f"the switch file {self.path} can't be mapped for writing")

    def _describe(self, *, by: str, reason: str) -> int:
        words, page = self._words(), self._page()
        wall_ns = time.time_ns()
        words[WORD_WALL_NS] = wall_ns
        words[WORD_GENERATION] += 1
        page[TEXT_OFFSET:] = _text_page(by=by, reason=reason)
        return wall_ns

    def _flush(self, *, is_stop: bool = False) -> bool:
        """Write the page to the disk; for a stop, a disk that refuses is reported and not raised."""
        try:
            self._page().flush()
        except OSError:
            if not is_stop:
                raise
            return False
        return True

    @contextmanager
    def _locked(self, *, is_stop: bool = False) -> "Iterator[None]":
        """Hold the file against other programs; a stop goes on without the lock when it can't have it soon."""
        deadline = time.monotonic() + (STOP_LOCK_SECONDS_MAX if is_stop else LOCK_SECONDS_MAX)
        while not (is_locked := _try_lock(self._descriptor)) and time.monotonic() < deadline:
            time.sleep(LOCK_POLL_SECONDS)
        if not is_locked and not is_stop:
            raise StateConflict(
                f"Expected the switch {self.path} to be free, found another program changing it; try again."
            )
        try:
            yield
        finally:
            if is_locked:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _words(self) -> memoryview:
        if self.words is None:
            raise StateConflict(f"Expected the switch {self.path} to be mapped, found it closed; open it again.")
        return self.words

    def _page(self) -> mmap.mmap:
        if self._mapping is None:
            raise StateConflict(f"Expected the switch {self.path} to be mapped, found it closed; open it again.")
        return self._mapping


def _text_page(*, by: str, reason: str) -> bytes:
    text = json.dumps({"by": by[:PERSON_LETTERS_MAX], "reason": reason[:REASON_LETTERS_MAX]}).encode()
    return text[: FILE_BYTES - TEXT_OFFSET].ljust(FILE_BYTES - TEXT_OFFSET, b"\0")


def _who_and_why(page: bytes) -> tuple[str, str]:
    """Return who and why; a page torn by a second writer or a power cut loses the words, never the state."""
    try:
        found = json.loads(page.split(b"\0", 1)[0])
    except ValueError:
        return "", ""
    return (str(found.get("by", "")), str(found.get("reason", ""))) if isinstance(found, dict) else ("", "")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync_directory(directory: "Path") -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
