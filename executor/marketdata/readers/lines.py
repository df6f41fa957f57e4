"""Lines of recorded files, numbered, and the one way a reader says that a line or a file can't be used."""

import gzip
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, cast

from controlplane.domain.errors import FeedUnavailable, InvalidRequest
from controlplane.domain.quantities import parse_decimal, to_units
from executor.marketdata.events import FaultKind

# A book snapshot of 1,000 levels a side is about 60 kB; beyond this a line is not a message of any feed we read.
LINE_BYTES_MAX = 4 << 20
# After so many unreadable lines the file is something else than it claims to be, and reading on helps nobody.
BAD_LINES_MAX = 100
# Distinct numbers remembered per file; beyond it, numbers are parsed each time they occur.
REMEMBERED_MAX = 500_000


class Unreadable(FeedUnavailable):
    """A line or file that can't be used; readers turn it into a fault value.

    Arguments
        kind     what is wrong
        finding  what was expected and what was found, without the file's name
    """

    def __init__(self, kind: FaultKind, finding: str) -> None:
        super().__init__(finding)
        self.kind = kind


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its end) for a plain or gzip file; empty lines are passed over.

    Errors
        Unreadable when the file can't be opened, its compression is broken or cut short, a line is too long, or the
        last line has no end (it was cut in the middle)
    """
    number = 0
    try:
        with _opened(path) as stream:
            while line := stream.readline(LINE_BYTES_MAX):
                number += 1
                if not line.endswith(b"\n"):
                    raise _unfinished(number, line)
                text = line.rstrip()
                if text:
                    yield number, text
    except EOFError:
        raise Unreadable(
            FaultKind.TRUNCATED, f"after line {number}: expected the end of the gzip stream, found a file cut short"
        ) from None
    except (zlib.error, gzip.BadGzipFile) as broken:
        raise Unreadable(
            FaultKind.TRUNCATED, f"after line {number}: expected intact gzip data, found damage ({broken})"
        ) from None
    except OSError as fault:
        raise Unreadable(
            FaultKind.TRUNCATED, f"after line {number}: expected a readable file, found: {fault.strerror or fault}"
        ) from None


class UnitTable(dict[str, int]):
    """Whole ticks or lots by the text of a number; parses a text once, exactly, and remembers it.

    Arguments
        unit        tick size or lot size
        field       name used in a refusal
        is_floored  numbers between two units are rounded down and counted instead of refused
    Errors
        Unreadable from a lookup: malformed, negative, or off the grid
    """

    def __init__(self, unit: Decimal, *, field: str, cap: int, is_floored: bool = False) -> None:
        super().__init__()
        self.floored_count = 0
        self._unit = unit
        self._field = field
        self._cap = cap
        self._is_floored = is_floored

    def __missing__(self, text: str) -> int:
        try:
            value = parse_decimal(text, field=self._field)
        except InvalidRequest as refusal:
            raise Unreadable(FaultKind.MALFORMED, str(refusal).rstrip(".")) from None
        if value < 0:
            raise Unreadable(FaultKind.SIZE, f"expected a {self._field} of zero or more, found {text}")
        if self._is_floored and value % self._unit:
            value -= value % self._unit
            self.floored_count += 1
        try:
            units = to_units(value, self._unit, field=self._field, cap=self._cap)
        except InvalidRequest as refusal:
            raise Unreadable(FaultKind.OFF_GRID, str(refusal).rstrip(".")) from None
        if len(self) < REMEMBERED_MAX:
            self[text] = units
        return units


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _unfinished(number: int, line: bytes) -> Unreadable:
    if len(line) >= LINE_BYTES_MAX:
        return Unreadable(FaultKind.MALFORMED, f"line {number}: expected at most {LINE_BYTES_MAX} bytes, found more")
    return Unreadable(FaultKind.TRUNCATED, f"line {number}: expected a line end, found the end of the file")
