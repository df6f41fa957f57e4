"""One transaction per request, against a real PostgreSQL: committed whole, given up whole, faults in our words."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from sqlmodel import Session

from controlplane.domain.errors import DatabaseUnavailable, InvalidRequest, StateConflict
from controlplane.runtime import postgres
from controlplane.runtime.database import Database, driver_connection
from controlplane.runtime.postgres import Cluster
from tests.support.database import fresh_database


@pytest.fixture
def empty_dsn(postgres_cluster: Cluster, worker_id: str) -> Iterator[str]:
    with fresh_database(postgres_cluster, f"transactions_{worker_id}", is_migrated=False) as dsn:
        yield dsn


@pytest.fixture
def notes(empty_dsn: str) -> Iterator[Database]:
    """A database with one small table."""
    with Database(empty_dsn, connections_max=2) as opened:
        with opened.transaction() as session:
            run(session, "CREATE TABLE notes (number bigint PRIMARY KEY)")
        yield opened


def run(session: Session, statement: str) -> sqlalchemy.CursorResult[object]:
    return session.connection().execute(sqlalchemy.text(statement))


def numbers(database: Database) -> list[int]:
    with database.transaction() as session:
        return list(run(session, "SELECT number FROM notes ORDER BY number").scalars())


def test_transaction_is_committed_on_the_way_out(notes: Database) -> None:
    with notes.transaction() as session:
        run(session, "INSERT INTO notes VALUES (1), (2)")

    assert numbers(notes) == [1, 2]


def test_transaction_is_given_up_whole_when_anything_is_raised(notes: Database) -> None:
    def fail_halfway() -> None:
        with notes.transaction() as session:
            run(session, "INSERT INTO notes VALUES (1)")
            raise InvalidRequest("expected nothing of the sort")

    with pytest.raises(InvalidRequest, match="nothing of the sort"):
        fail_halfway()

    assert numbers(notes) == []


def test_broken_constraint_is_left_to_the_store_that_knows_what_it_means(notes: Database) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError), notes.transaction() as session:
        run(session, "INSERT INTO notes VALUES (1), (1)")

    assert numbers(notes) == []


def test_statement_that_is_wrong_is_a_bug_and_not_an_unwell_database(notes: Database) -> None:
    with pytest.raises(sqlalchemy.exc.ProgrammingError), notes.transaction() as session:
        run(session, "SELECT nothing FROM nowhere")


def test_copy_goes_through_the_driver_inside_the_same_transaction(notes: Database) -> None:
    def copy_then_fail() -> None:
        with notes.transaction() as session:
            with driver_connection(session).cursor().copy("COPY notes FROM STDIN") as copy:
                copy.write_row((5,))
            assert list(run(session, "SELECT number FROM notes").scalars()) == [5]
            raise InvalidRequest("given up")

    with pytest.raises(InvalidRequest, match="given up"):
        copy_then_fail()

    assert numbers(notes) == []


def test_time_is_told_in_utc_whatever_the_server_is_set_to(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")

    with Database(empty_dsn) as database, database.transaction() as session:
        assert run(session, "SHOW timezone").scalar() == "UTC"


def test_loser_of_two_conflicting_transactions_is_asked_to_look_again(notes: Database) -> None:
    with notes.transaction() as session:
        run(session, "INSERT INTO notes VALUES (1)")

    def be_late() -> None:
        with notes.transaction() as late:
            run(late, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            run(late, "SELECT * FROM notes")
            with notes.transaction() as early:
                run(early, "UPDATE notes SET number = 2")
            run(late, "UPDATE notes SET number = 3")

    with pytest.raises(StateConflict, match="another transaction was first"):
        be_late()

    assert numbers(notes) == [2]


def test_every_connection_in_use_is_said_after_a_while(notes: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes.engine.pool, "_timeout", 0.1)

    with notes.transaction() as first, notes.transaction() as second:
        run(first, "SELECT 1")
        run(second, "SELECT 1")
        with pytest.raises(DatabaseUnavailable, match="found all in use"), notes.transaction() as third:
            run(third, "SELECT 1")


def test_connection_that_the_server_ended_costs_one_request_and_the_next_goes_on(notes: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="Expected PostgreSQL to answer"), notes.transaction() as session:
        run(session, "SELECT pg_terminate_backend(pg_backend_pid())")

    assert numbers(notes) == []


def test_pooled_connections_survive_a_restart_of_the_server_between_two_requests(tmp_path: Path) -> None:
    with postgres.start(tmp_path / "server", is_volatile=True) as cluster, Database(cluster.dsn) as database:
        assert database.is_reachable()

        cluster.stop()
        with postgres.start(tmp_path / "server", is_volatile=True):
            assert database.is_reachable()

        assert not database.is_reachable()


def test_unreachable_server_is_one_sentence_without_its_password() -> None:
    database = Database("postgresql://somebody:opensesame@127.0.0.1:9/nowhere")

    with (
        pytest.raises(DatabaseUnavailable, match="Expected PostgreSQL to answer, found:") as caught,
        database.transaction() as session,
    ):
        run(session, "SELECT 1")

    assert "opensesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not database.is_reachable()


@pytest.mark.parametrize("dsn", ["nonsense", "postgresql://h:abc:def/x?y", "host=a unknown_word=3"])
def test_connection_string_that_is_none_is_refused_with_an_example(dsn: str) -> None:
    with pytest.raises(InvalidRequest, match="such as postgresql://user@host/database") as caught:
        Database(dsn)

    assert caught.value.field == "CONTROLPLANE_DSN"


def test_connection_string_in_words_works_as_well(empty_dsn: str) -> None:
    words = psycopg.conninfo.make_conninfo(**psycopg.conninfo.conninfo_to_dict(empty_dsn))

    with Database(words) as database:
        assert "://" not in words
        assert database.is_reachable()


def tables_of(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in rows}


def test_migrations_go_up_down_and_up_again(empty_dsn: str) -> None:
    with Database(empty_dsn) as database:
        database.migrate()
        made = tables_of(empty_dsn)
        database.unmigrate()
        left = tables_of(empty_dsn)
        database.migrate()

    assert made >= {"alembic_version"}
    assert left == {"alembic_version"}
    assert tables_of(empty_dsn) == made


def test_migrated_schema_is_what_the_tables_say(database: Database) -> None:
    """A table changed in tables.py without a migration, or the other way round, shows as a difference."""
    import alembic.autogenerate
    import alembic.migration
    from sqlmodel import SQLModel

    import_every_table()
    with database.engine.connect() as connection:
        context = alembic.migration.MigrationContext.configure(connection, opts={"compare_type": True})
        differences = alembic.autogenerate.compare_metadata(context, SQLModel.metadata)

    assert differences == []


def import_every_table() -> None:
    import importlib

    areas = Path(__file__).resolve().parents[2] / "controlplane"
    for path in sorted(areas.glob("*/tables.py")):
        importlib.import_module(f"controlplane.{path.parent.name}.tables")


def test_programs_that_migrate_at_once_wait_for_each_other(empty_dsn: str) -> None:
    faults: list[Exception] = []

    def migrate() -> None:
        try:
            with Database(empty_dsn) as database:
                database.migrate()
        except DatabaseUnavailable as error:
            faults.append(error)

    programs = [threading.Thread(target=migrate) for _ in range(3)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()

    assert faults == []
    assert "alembic_version" in tables_of(empty_dsn)
