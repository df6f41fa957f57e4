"""A real PostgreSQL for tests: one server per test run, one migrated database per module that asks for one."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from controlplane.runtime import postgres
from controlplane.runtime.database import Database
from controlplane.runtime.postgres import Cluster

TEMPLATE = "migrated_template"
# Serialises the making of databases: a template must have no other connection while it is copied.
MAKING_LOCK = 0x74657374


@contextmanager
def shared_cluster(directory: Path) -> Iterator[Cluster]:
    """A server that every process naming this directory shares; the last one to leave stops and removes it."""
    directory.mkdir(parents=True, exist_ok=True)
    users = os.open(directory.with_name(directory.name + ".users"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(users, fcntl.LOCK_SH)
        cluster = postgres.start(directory, is_volatile=True)
        yield cluster
        fcntl.flock(users, fcntl.LOCK_UN)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        cluster.stop()
        shutil.rmtree(directory)
    finally:
        os.close(users)


@contextmanager
def fresh_database(cluster: Cluster, name: str, *, is_migrated: bool = True) -> Iterator[str]:
    """The connection string of a database made for the caller and dropped afterwards, with our tables or empty."""
    with psycopg.connect(address_of(cluster, "postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MAKING_LOCK,))
        if is_migrated:
            _make_template(cluster, connection)
        template = sql.Identifier(TEMPLATE if is_migrated else "template1")
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), template))
        connection.execute("SELECT pg_advisory_unlock(%s)", (MAKING_LOCK,))
        yield address_of(cluster, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def address_of(cluster: Cluster, database: str) -> str:
    """The connection string of another database on the same server."""
    return urlunsplit(urlsplit(cluster.dsn)._replace(path="/" + database))


def _make_template(cluster: Cluster, connection: psycopg.Connection) -> None:
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone() is not None:
        return
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    with Database(address_of(cluster, TEMPLATE)) as database:
        database.migrate()
