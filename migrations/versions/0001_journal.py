"""Search index over the journal: records, counts, and how far each log is copied."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A copied record that was changed would contradict the files, so nobody changes one by accident. Whoever owns the
# tables can drop the trigger; what then differs is found by comparing with the files.
GUARD = """
CREATE FUNCTION journal_record_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Expected copied journal records to stay as they are, found % on %; the journal files are the record: correct nothing here.',
        TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER journal_record_row_stays BEFORE UPDATE OR DELETE ON journal_record
    FOR EACH ROW EXECUTE FUNCTION journal_record_stays();
CREATE TRIGGER journal_record_table_stays BEFORE TRUNCATE ON journal_record
    FOR EACH STATEMENT EXECUTE FUNCTION journal_record_stays();
"""  # noqa: E501


def upgrade() -> None:
    """Make the tables of `controlplane/journal/tables.py` and the guard against changes."""
    _make_records()
    op.create_table(
        "journal_count",
        sa.Column("log", sa.Text(collation="C"), primary_key=True),
        sa.Column("kind", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("outcome", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("code", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "drain_cursor",
        sa.Column("log", sa.Text(collation="C"), primary_key=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("previous_seq", sa.BigInteger(), nullable=False),
        sa.Column("copied", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("moved_ns", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.CheckConstraint("copied >= 0", name="drain_cursor_never_back"),
        sa.CheckConstraint("seq = previous_seq + copied", name="drain_cursor_no_gap"),
    )
    op.execute(GUARD)


def downgrade() -> None:
    """Drop all of it; the drain fills it again from the files."""
    op.drop_table("drain_cursor")
    op.drop_table("journal_count")
    op.drop_table("journal_record")
    op.execute("DROP FUNCTION journal_record_stays()")


def _make_records() -> None:
    op.create_table(
        "journal_record",
        sa.Column("log", sa.Text(collation="C"), primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("subkind", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("wall_ns", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.BigInteger(), nullable=False),
        sa.Column("child_id", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=False),
        sa.Column("route", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("document", JSONB(), nullable=True),
    )
    table = "journal_record"
    decided, others = sa.text("kind = 1"), sa.text("kind >= 64")
    op.create_index("ix_journal_record_decided", table, ["seq", "log"], postgresql_where=decided)
    op.create_index("ix_journal_record_kind", table, ["kind", "seq"], postgresql_where=others)
    for name in ("child", "parent"):
        column = f"{name}_id"
        op.create_index(f"ix_journal_record_{name}", table, [column, "seq"], postgresql_where=sa.text(f"{column} <> 0"))
    op.create_index("ix_journal_record_wall", table, ["wall_ns"], postgresql_using="brin")
    denied = sa.text("kind = 1 AND outcome = 2")
    op.create_index("ix_journal_record_denied", table, ["seq", "log", "code"], postgresql_where=denied)
