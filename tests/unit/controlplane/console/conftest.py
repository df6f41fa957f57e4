"""The console over a fake gate, a day of records and a real database for accounts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.console import Desk, SwitchableDatabase, make_desk


@pytest.fixture(scope="module")
def shared_desk(database_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk for tests that change nothing: two accounts, nothing stopped, three working orders."""
    with SwitchableDatabase(database_dsn, connections_max=3) as database:
        yield make_desk(database, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def desk(shared_desk: Desk, database_dsn: str, tmp_path: Path) -> Iterator[Desk]:
    """A fresh desk over the same accounts, for a test that stops, signs out, or takes things away."""
    with SwitchableDatabase(database_dsn, connections_max=4) as database:
        yield make_desk(database, tmp_path, passwords=shared_desk.passwords)
