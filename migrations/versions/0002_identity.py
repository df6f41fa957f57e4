"""Local accounts and their sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of `controlplane/identity/tables.py`."""
    op.create_table(
        "account",
        sa.Column("name", sa.String(length=64), primary_key=True),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("account_name", sa.String(length=64), sa.ForeignKey("account.name"), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_session_account_name", "session", ["account_name"])


def downgrade() -> None:
    """Drop them again, sessions first since they name accounts."""
    op.drop_index("ix_session_account_name", table_name="session")
    op.drop_table("session")
    op.drop_table("account")
