"""Connections to PostgreSQL, and the one place where a transaction is opened, committed or given up.

A web request or a background task is one transaction: whoever answers it opens `Database.transaction()` once, services
and stores work inside it and never commit. Whatever goes wrong with the server arrives as `DatabaseUnavailable`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import alembic.command
import alembic.config
import psycopg
import sqlalchemy
from psycopg import conninfo
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlmodel import Session

from controlplane.domain.errors import DatabaseUnavailable, InvalidRequest, StateConflict
from controlplane.runtime.postgres import words_of

PROJECT_ROOT = Path(__file__).resolve().parents[2]
CONNECT_SECONDS_MAX = 5
STATEMENT_SECONDS_MAX = 60
POOL_SECONDS_MAX = 5.0

# Any number that no other program uses on this database; ASCII for "cp".
MIGRATION_LOCK = 0x6370

# Two transactions that can't both be true; the database chose one of them and asks the other to look again.
TRANSACTION_LOST = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


class Database:
    """Pooled connections to one PostgreSQL database; opening it connects to nothing yet."""

    def __init__(self, dsn: str, *, connections_max: int = 10) -> None:
        self._parameters = _connection_parameters(dsn)
        self.engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=connections_max,
            max_overflow=0,
            pool_timeout=POOL_SECONDS_MAX,
            pool_pre_ping=True,  # a server that was restarted costs one look, not one failed request
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that is committed on the way out and rolled back when anything is raised.

        Errors
            DatabaseUnavailable  the server can't be reached, went away, or is out of connections or space
            StateConflict        another transaction changed the same rows first; load and try again
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (DBAPIError, PoolExhausted, psycopg.OperationalError) as error:
            raise _domain_error(error) from error

    def is_reachable(self) -> bool:
        """Whether the server answers a trivial question now."""
        try:
            with self.transaction() as session:
                session.connection().execute(sqlalchemy.text("SELECT 1"))
        except DatabaseUnavailable:
            return False
        return True

    def migrate(self) -> None:
        """Return once the schema is the newest; programs that start together wait for each other.

        Errors
            DatabaseUnavailable as for a transaction
        """
        self._run_migrations(lambda configuration: alembic.command.upgrade(configuration, "heads"))

    def unmigrate(self) -> None:
        """Return once every table of ours is gone, and with them what they held; the journal can fill them again."""
        self._run_migrations(lambda configuration: alembic.command.downgrade(configuration, "base"))

    def _run_migrations(self, run: Callable[[alembic.config.Config], None]) -> None:
        configuration = alembic.config.Config(toml_file=str(PROJECT_ROOT / "pyproject.toml"))
        try:
            # One transaction around everything: a migration that fails half-way leaves nothing behind.
            with self.engine.begin() as connection:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                configuration.attributes["connection"] = connection
                run(configuration)
        except (DBAPIError, PoolExhausted, psycopg.OperationalError) as error:
            raise _domain_error(error) from error

    def close(self) -> None:
        """Give every pooled connection back to the server."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect("", **self._parameters)


def driver_connection(session: Session) -> psycopg.Connection[Any]:
    """The psycopg connection under a session, inside its transaction; for COPY, which SQLAlchemy doesn't speak."""
    connection = session.connection().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise DatabaseUnavailable("Expected an open connection under the session, found none; start the request again.")
    return connection


def _connection_parameters(dsn: str) -> dict[str, Any]:
    try:
        given = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise InvalidRequest(
            "Expected a connection string such as postgresql://user@host/database, found one that the client library "
            f"can't read ({words_of(error)}); correct CONTROLPLANE_DSN.",
            field="CONTROLPLANE_DSN",
        ) from None
    defaults = {
        "connect_timeout": CONNECT_SECONDS_MAX,
        "application_name": "controlplane",
        "options": f"-c statement_timeout={STATEMENT_SECONDS_MAX * 1000} -c timezone=UTC",
    }
    return defaults | given


def _domain_error(error: Exception) -> Exception:
    """The fault in the words of the product, or the error itself where it is a bug of ours."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, TRANSACTION_LOST):
        return StateConflict(
            "Expected to be the only one changing these rows, found that another transaction was first; load again and "
            "repeat the change."
        )
    if isinstance(error, PoolExhausted):
        return DatabaseUnavailable(
            f"Expected a free database connection within {POOL_SECONDS_MAX:.0f} s, found all in use; try again shortly."
        )
    if isinstance(cause, psycopg.OperationalError):
        # Only what the server said: the connection string may hold a password.
        return DatabaseUnavailable(
            f"Expected PostgreSQL to answer, found: {words_of(cause)}; check that it runs and where CONTROLPLANE_DSN "
            "points, then try again."
        )
    return error
