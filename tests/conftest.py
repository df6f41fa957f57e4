"""Fixtures that every test may ask for, and an environment without the settings of whoever runs the tests."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from controlplane.runtime.database import Database
from controlplane.runtime.postgres import Cluster
from tests.support.database import fresh_database, shared_cluster

for _name in [name for name in os.environ if name.startswith("CONTROLPLANE_")]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def restored_logs() -> Iterator[None]:
    """Each test writes its events where it wants; the next one doesn't find them going to a stream that is closed."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout under test."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def recorded_data(repository: Path) -> Path:
    """The folder of recorded market data beside the checkout; a test that needs it is skipped where it is absent."""
    folder = repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the recorded data of ../shared/data is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def postgres_cluster(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Cluster]:
    """A PostgreSQL server shared by every worker of this test run."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with shared_cluster(shared / "postgres") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def database_dsn(postgres_cluster: Cluster, worker_id: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The connection string of a database with our tables, empty, for one test module on one worker."""
    name = f"{request.module.__name__.rpartition('.')[2]}_{worker_id}"[-60:]
    with fresh_database(postgres_cluster, name) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def database(database_dsn: str) -> Iterator[Database]:
    """Connections to the database of this test module."""
    with Database(database_dsn, connections_max=5) as opened:
        yield opened
