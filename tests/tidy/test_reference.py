"""Documents follow the code: generated pages are up to date, and what documents name is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane import reference
from controlplane.domain.errors import InvalidRequest
from controlplane.identity.access import Access
from controlplane.journal.record import RecordKind
from controlplane.limits.kinds import KINDS
from controlplane.runtime import metrics
from tests.support import cases
from tests.support.source import Source, read_sources

WALK_STEPS = 18
WALK_ROW = re.compile(r"^\| (\d+) \| `([\w/.]+)` `(\w+)` \|.*?\| (?:`(\w+)`)? ?\|$", re.MULTILINE)
SHOWN_STEP = re.compile(r'"((?:controlplane|executor)/[\w/.]+) (\w+)"')
INVARIANT = re.compile(r"^## \d+\. .+$", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/[\w/.]+\.py)`\s+`(test_\w+)`")
NAMED_PATH = re.compile(r"`((?:controlplane|executor|tests|policies|docs|migrations|requirements)/[\w/.*-]+)`")


def functions_in(repository: Path, place: str) -> set[str]:
    """The names of all functions in a file, or in all files of a folder; none when there is no such place."""
    path = repository / place
    files = path.glob("*.py") if path.is_dir() else [path] if path.exists() else []
    return {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def missing_functions(repository: Path, named: list[tuple[str, str]]) -> Iterator[str]:
    """One sentence for every function that a document names and that isn't where it says."""
    for place, name in named:
        if name not in functions_in(repository, place):
            yield f"{place} has no function {name}"


def unshown_invariants(text: str) -> Iterator[str]:
    """One sentence for every invariant that names no test."""
    headings = [found.group(0) for found in INVARIANT.finditer(text)]
    for heading, section in zip(headings, INVARIANT.split(text)[1:], strict=True):
        if not NAMED_TEST.search(section):
            yield f"{heading} names no test"


def missing_paths(repository: Path, document: str, text: str) -> Iterator[str]:
    """One sentence for every file or folder that a document names and that isn't there."""
    for name in NAMED_PATH.findall(text):
        if not any(repository.glob(name.rstrip("/"))):
            yield f"{document} names {name}, which does not exist"


@pytest.mark.parametrize("page", reference.pages())
def test_generated_page_is_up_to_date(repository: Path, page: str) -> None:
    written = (repository / page).read_text(encoding="utf-8")

    assert written == reference.pages()[page](), f"run `controlplane docs`: {page} is out of date"


def test_index_of_cases_is_up_to_date(repository: Path) -> None:
    written = (repository / cases.PAGE).read_text(encoding="utf-8")

    assert written == cases.cases_markdown(read_sources(repository, ("tests",))), f"run `{cases.COMMAND}`"


def test_rebuilding_writes_only_what_is_out_of_date(tmp_path: Path) -> None:
    (tmp_path / reference.FOLDER).mkdir(parents=True)

    first, second = reference.rebuild(tmp_path), reference.rebuild(tmp_path)
    (tmp_path / reference.FOLDER / "limits.md").write_text("stale", encoding="utf-8")
    third = reference.rebuild(tmp_path)

    assert [path.relative_to(tmp_path).as_posix() for path in first] == list(reference.pages())
    assert second == []
    assert [path.name for path in third] == ["limits.md"]


def test_rebuilding_elsewhere_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="name the root of a checkout"):
        reference.rebuild(tmp_path)


def test_pages_of_limits_and_denials_name_every_limit(repository: Path) -> None:
    limits, denials = (
        (repository / reference.FOLDER / name).read_text(encoding="utf-8") for name in ("limits.md", "denials.md")
    )

    assert [kind.policy_key for kind in KINDS if f"| `{kind.policy_key}` |" not in limits] == []
    assert [kind.policy_key for kind in KINDS if f"`{kind.policy_key}`" not in denials] == []


def test_page_of_routes_says_who_may_knock_and_leaves_the_twins_out() -> None:
    doors = {
        ("POST", "/api/halts"): Access.STOP,
        ("GET", "/orders"): Access.SIGNED_IN,
        ("GET", "/orders.json"): Access.SIGNED_IN,
    }

    rows = [line for line in reference.routes_markdown(doors).splitlines() if line.startswith(("| GET", "| POST"))]

    assert rows == [
        "| POST | `/api/halts` | somebody signed in, also while the database is away |",
        "| GET | `/orders` | somebody signed in |",
    ]


def test_every_metric_is_fed_somewhere(repository: Path) -> None:
    fed = {
        node.attr
        for source in read_sources(repository)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
    }
    kinds = (metrics.Counter, metrics.Gauge, metrics.Histogram)
    declared = {name for name, value in vars(metrics).items() if isinstance(value, kinds)}

    assert sorted(declared - fed) == []


def test_the_walk_of_an_order_names_functions_and_records_that_exist(repository: Path) -> None:
    text = (repository / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")

    rows = WALK_ROW.findall(text)

    assert [int(number) for number, *_ in rows] == list(range(1, WALK_STEPS + 1))
    assert list(missing_functions(repository, [(place, name) for _, place, name, _ in rows])) == []
    assert {record for *_, record in rows if record} <= {kind.text for kind in RecordKind}


def test_the_steps_that_the_console_shows_name_functions_that_exist(repository: Path) -> None:
    named = SHOWN_STEP.findall((repository / "controlplane/supervision/steps.py").read_text(encoding="utf-8"))

    assert named
    assert list(missing_functions(repository, named)) == []


def test_every_invariant_names_a_test_that_exists(repository: Path) -> None:
    text = (repository / "docs" / "INVARIANTS.md").read_text(encoding="utf-8")

    assert list(unshown_invariants(text)) == []
    assert list(missing_functions(repository, NAMED_TEST.findall(text))) == []


def test_files_that_documents_name_exist(repository: Path) -> None:
    documents = [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]

    missing = [
        sentence
        for path in documents
        for sentence in missing_paths(
            repository, path.relative_to(repository).as_posix(), path.read_text(encoding="utf-8")
        )
    ]

    assert missing == []


def test_function_that_is_not_there_is_found_in_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("class C:\n    def decide(self): ...\n", encoding="utf-8")

    named = [("a", "decide"), ("a/x.py", "decide"), ("a/x.py", "reserve"), ("a/y.py", "decide")]

    assert [one.split(" has ")[0] for one in missing_functions(tmp_path, named)] == ["a/x.py", "a/y.py"]


def test_invariant_without_a_test_is_found() -> None:
    text = "# I\n\n## 1. Held\n\n`tests/a.py` `test_it_holds`\n\n## 2. Hoped\n\nSoon.\n"

    assert list(unshown_invariants(text)) == ["## 2. Hoped names no test"]


def test_path_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("", encoding="utf-8")

    found = list(missing_paths(tmp_path, "d.md", "`tests/test_*.py`, `tests/` and `controlplane/b.py`"))

    assert found == ["d.md names controlplane/b.py, which does not exist"]


def test_cases_are_found_at_functions_at_classes_and_at_rows_and_sorted_by_number() -> None:
    text = (
        "import pytest\n"
        "@pytest.mark.case('GATE-10', 'T2')\ndef test_one(): ...\n"
        "@pytest.mark.case('GATE-9')\nclass TestMany: ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.case('GATE-11'))])\ndef test_row(x): ...\n"
        "pytestmark = pytest.mark.case('U9')\n"
    )

    rows = cases.cases_markdown([Source("tests/test_a.py", text)]).splitlines()[-5:]

    assert [tuple(row.strip("| ").split(" | ")[:2]) for row in rows] == [
        ("GATE-9", "TestMany"),
        ("GATE-10", "one"),
        ("GATE-11", "row"),
        ("T2", "one"),
        ("U9", "the whole file"),
    ]


@pytest.mark.parametrize("mark", ["case(name)", "case()", "case", "case(1)", "case('GATE-1', name)"])
def test_case_that_is_not_text_is_refused(mark: str) -> None:
    with pytest.raises(cases.UnreadableCase, match=r"tests/test_a\.py:1 must name its case as text"):
        list(cases.cases_of(Source("tests/test_a.py", f"pytestmark = pytest.mark.{mark}\n")))
