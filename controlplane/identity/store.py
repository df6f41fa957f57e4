"""Every query about accounts and sessions."""

from dataclasses import dataclass

from sqlalchemy import func, update
from sqlmodel import Session as Connection
from sqlmodel import col, select

from controlplane.identity.people import Person, Session
from controlplane.identity.tables import AccountRow, SessionRow


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the sign-in needs it."""

    person: Person
    password_hash: str


def count_accounts(connection: Connection) -> int:
    """How many accounts exist, disabled ones included."""
    return connection.exec(select(func.count()).select_from(AccountRow)).one()


def find_account(connection: Connection, name: str) -> Account | None:
    """The enabled account with this name."""
    row = connection.get(AccountRow, name)
    if row is None or not row.is_enabled:
        return None
    return Account(Person(row.name, row.title), row.password_hash)


def add_account(connection: Connection, person: Person, *, password_hash: str, created_ns: int) -> None:
    """Keep a new account."""
    connection.add(
        AccountRow(name=person.name, title=person.title, password_hash=password_hash, created_ns=created_ns)
    )
    connection.flush()


def add_session(connection: Connection, session: Session, *, address: str) -> None:
    """Keep a new session."""
    connection.add(
        SessionRow(
            digest=session.digest,
            account_name=session.person.name,
            address=address,
            started_ns=session.started_ns,
            seen_ns=session.seen_ns,
        )
    )
    connection.flush()


def find_session(connection: Connection, digest: bytes) -> Session | None:
    """The session with this digest, unless it ended or its account was disabled; its age is the caller's question."""
    found = connection.exec(
        select(SessionRow, AccountRow)
        .join(AccountRow, col(AccountRow.name) == col(SessionRow.account_name))
        .where(SessionRow.digest == digest, col(SessionRow.ended_ns).is_(None), col(AccountRow.is_enabled))
    ).first()
    return None if found is None else _session(*found)


def running_sessions(connection: Connection, *, started_after_ns: int, limit: int) -> list[Session]:
    """Sessions that have not ended and are young enough to be alive, the latest seen first."""
    rows = connection.exec(
        select(SessionRow, AccountRow)
        .join(AccountRow, col(AccountRow.name) == col(SessionRow.account_name))
        .where(
            col(SessionRow.ended_ns).is_(None), SessionRow.started_ns > started_after_ns, col(AccountRow.is_enabled)
        )
        .order_by(col(SessionRow.seen_ns).desc())
        .limit(limit)
    ).all()
    return [_session(session, account) for session, account in rows]


def mark_seen(connection: Connection, digest: bytes, *, seen_ns: int) -> None:
    """Keep when the session was last used; never moves back."""
    connection.execute(
        update(SessionRow)
        .where(col(SessionRow.digest) == digest, col(SessionRow.seen_ns) < seen_ns)
        .values(seen_ns=seen_ns)
    )


def end_session(connection: Connection, digest: bytes, *, ended_ns: int) -> None:
    """End the session; a session that has ended keeps its first end."""
    connection.execute(
        update(SessionRow)
        .where(col(SessionRow.digest) == digest, col(SessionRow.ended_ns).is_(None))
        .values(ended_ns=ended_ns)
    )


def _session(row: SessionRow, account: AccountRow) -> Session:
    return Session(
        digest=row.digest,
        person=Person(account.name, account.title),
        started_ns=row.started_ns,
        seen_ns=row.seen_ns,
    )
