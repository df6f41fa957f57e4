"""How Alembic reaches the database: through a connection that `Database.migrate` hands over, or on its own account.

On its own account means the command line (`alembic revision --autogenerate`), which uses CONTROLPLANE_DSN or the
server that the programs of this machine run.
"""

import importlib
from pathlib import Path

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

from controlplane.runtime import postgres
from controlplane.runtime.database import Database
from controlplane.runtime.settings import load_settings


def import_every_table() -> None:
    """Fill SQLModel's list of tables from the `tables.py` of every area."""
    root = Path(__file__).resolve().parent.parent / "controlplane"
    for path in sorted(root.glob("*/tables.py")):
        importlib.import_module(f"controlplane.{path.parent.name}.tables")


def run_migrations(connection: Connection) -> None:
    """Run what Alembic was asked to inside the transaction of this connection."""
    import_every_table()
    context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run_migrations(given)
else:
    settings = load_settings()
    dsn = settings.dsn.get_secret_value() if settings.dsn else None
    with (
        postgres.start(settings.postgres_directory, dsn=dsn) as cluster,
        Database(cluster.dsn) as database,
        database.engine.begin() as own_connection,
    ):
        run_migrations(own_connection)
