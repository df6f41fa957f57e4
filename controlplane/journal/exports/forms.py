"""The forms in which rows leave: CSV for spreadsheets, Parquet for tables, JSON lines for programs."""

import csv
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.journal.exports.rows import COLUMNS, Cell, ColumnKind, csv_cell, json_row


class ExportFormat(StrEnum):
    """Which form is wanted; its value ends the file's name."""

    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"


class RowFile(Protocol):
    """A file that takes rows."""

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def row_file(path: Path, form: ExportFormat) -> RowFile:
    """Return a new file of a form."""
    match form:
        case ExportFormat.CSV:
            return CsvFile(path)
        case ExportFormat.JSON:
            return JsonFile(path)
        case ExportFormat.PARQUET:
            return ParquetFile(path)


class _TextFile:
    def __init__(self, path: Path) -> None:
        # newline="": what is written is what stands there, on every system.
        self._file = path.open("w", encoding="utf-8", newline="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class CsvFile(_TextFile):
    """RFC 4180 with a head line, every cell quoted, formulas neutralised."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._writer = csv.writer(self._file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        self._writer.writerow(column.name for column in COLUMNS)

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        """Add rows."""
        self._writer.writerows([csv_cell(cell) for cell in row] for row in rows)


class JsonFile(_TextFile):
    """One object a line."""

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        """Add rows."""
        self._file.writelines(json.dumps(json_row(row), ensure_ascii=False) + "\n" for row in rows)


class ParquetFile:
    """Columns with types: numbers are 64-bit, everything else text; a column that doesn't apply is null."""

    def __init__(self, path: Path) -> None:
        kinds = {ColumnKind.NUMBER: pa.int64(), ColumnKind.TEXT: pa.string()}
        self._schema = pa.schema([(column.name, kinds[column.kind]) for column in COLUMNS])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        """Add rows."""
        if rows:
            columns = [
                pa.array(cells, field.type) for cells, field in zip(zip(*rows, strict=True), self._schema, strict=True)
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
