"""Tables of local accounts and of sessions. Neither holds anything one could sign in with."""

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel


class AccountRow(SQLModel, table=True):
    """One local account."""

    __tablename__ = "account"

    name: str = Field(primary_key=True, max_length=64)
    title: str = Field(max_length=120)
    password_hash: str
    is_enabled: bool = True
    created_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class SessionRow(SQLModel, table=True):
    """One sign-in, from its start to its end; ended ones stay as evidence until retention removes them."""

    __tablename__ = "session"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    account_name: str = Field(foreign_key="account.name", index=True)
    address: str = Field(max_length=64)
    started_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    seen_ns: int = Field(sa_column=Column(BigInteger, nullable=False))
    ended_ns: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
