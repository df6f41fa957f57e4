"""Tables of the search index over the journal. The files are the record; every row here can be made again from them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


def _number(kind: type[BigInteger] | type[Integer] | type[SmallInteger] = BigInteger) -> Column[int]:
    return Column(kind, nullable=False)


class JournalRecordRow(SQLModel, table=True):
    """One record: its exact bytes, and the words that people search by. Zero stands for a word that doesn't apply."""

    __tablename__ = "journal_record"
    __table_args__ = (
        # Decisions are looked for most; of the other kinds only the rare ones, which are JSON, by kind.
        Index("ix_journal_record_decided", "seq", "log", postgresql_where=text("kind = 1")),
        Index("ix_journal_record_kind", "kind", "seq", postgresql_where=text("kind >= 64")),
        Index("ix_journal_record_child", "child_id", "seq", postgresql_where=text("child_id <> 0")),
        Index("ix_journal_record_parent", "parent_id", "seq", postgresql_where=text("parent_id <> 0")),
        # Rows arrive in order of time, so a few bytes per range of pages find any moment.
        Index("ix_journal_record_wall", "wall_ns", postgresql_using="brin"),
        Index("ix_journal_record_denied", "seq", "log", "code", postgresql_where=text("kind = 1 AND outcome = 2")),
    )

    log: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    epoch: int = Field(sa_column=_number(Integer))
    flags: int = Field(sa_column=_number(SmallInteger))
    kind: int = Field(sa_column=_number(SmallInteger))
    subkind: int = Field(sa_column=_number(SmallInteger))
    outcome: int = Field(sa_column=_number(Integer))
    code: int = Field(sa_column=_number(Integer))
    wall_ns: int = Field(sa_column=_number())
    request_id: int = Field(sa_column=_number())
    child_id: int = Field(sa_column=_number())
    parent_id: int = Field(sa_column=_number())
    route: int = Field(sa_column=_number())
    entry: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    document: dict[str, object] | None = Field(sa_column=Column(JSONB, nullable=True))


class JournalCountRow(SQLModel, table=True):
    """How many records of a log have this kind, outcome and binding code; kept in the copying transaction."""

    __tablename__ = "journal_count"

    log: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    kind: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    outcome: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    code: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    records: int = Field(sa_column=_number())


class DrainCursorRow(SQLModel, table=True):
    """How far each log is copied. A move that skips or goes back breaks the checks, and with them its transaction."""

    __tablename__ = "drain_cursor"
    __table_args__ = (
        CheckConstraint("copied >= 0", name="drain_cursor_never_back"),
        CheckConstraint("seq = previous_seq + copied", name="drain_cursor_no_gap"),
    )

    log: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    seq: int = Field(sa_column=_number())
    previous_seq: int = Field(sa_column=_number())
    copied: int = Field(sa_column=_number())
    chain: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    moved_ns: int = Field(sa_column=_number())
    problem: str = Field(sa_column=Column(Text, nullable=False))
