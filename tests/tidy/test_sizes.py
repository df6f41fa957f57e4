"""Files, functions and folders stay small enough to be read in one sitting.

The cure for a breach is to split by the question answered, never into part one and part two.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.source import Source, functions_of, read_sources

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FOLDER_FILES_MAX = 20

# Files that were too long when the rule came, with their length then: they may shrink, never grow. Empty is the aim.
RATCHET: dict[str, int] = {}

CHECKED = ("controlplane", "executor", "migrations", "tests/support")
# Pages are many and small, one file each.
FOLDERS_WITHOUT_LIMIT = ("controlplane/console/pages", "migrations/versions", "tests/support")


def too_long(sources: list[Source], ratchet: dict[str, int]) -> Iterator[str]:
    """One sentence for every file or function over its size."""
    for source in sources:
        lines_max = ratchet.get(source.path, FILE_LINES_MAX)
        if source.lines > lines_max:
            yield f"{source.path} has {source.lines} lines, at most {lines_max} are readable"
        for line, name, lines in functions_of(source):
            if lines > FUNCTION_LINES_MAX:
                yield f"{source.path}:{line} {name} has {lines} lines, at most {FUNCTION_LINES_MAX} are readable"


def too_full(sources: list[Source]) -> Iterator[str]:
    """One sentence for every folder with too many files."""
    counts = Counter(source.path.rpartition("/")[0] for source in sources if not source.path.endswith("__init__.py"))
    for folder, files in counts.items():
        if files > FOLDER_FILES_MAX and folder not in FOLDERS_WITHOUT_LIMIT:
            yield f"{folder} holds {files} files, at most {FOLDER_FILES_MAX} can be overseen"


def test_files_and_functions_can_be_read_in_one_sitting(repository: Path) -> None:
    sources = [*read_sources(repository, CHECKED), Source("bootstrap.py", (repository / "bootstrap.py").read_text())]

    assert list(too_long(sources, RATCHET)) == []


def test_folders_can_be_overseen(repository: Path) -> None:
    assert list(too_full(read_sources(repository, CHECKED))) == []


def test_ratchet_names_only_files_that_are_still_too_long(repository: Path) -> None:
    lengths = {source.path: source.lines for source in read_sources(repository, CHECKED)}

    assert [path for path in RATCHET if lengths.get(path, 0) <= FILE_LINES_MAX] == []


def test_a_line_too_many_is_found_in_files_and_functions() -> None:
    function = "def long_one():\n" + "    x = 1\n" * FUNCTION_LINES_MAX
    fits = "def short_one():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    long_file = Source("controlplane/a.py", "x = 1\n" * (FILE_LINES_MAX + 1))

    found = list(too_long([Source("executor/b.py", function + fits), long_file], {}))

    assert [one.split(" has ")[0] for one in found] == ["executor/b.py:1 long_one", "controlplane/a.py"]


def test_ratchet_lets_a_file_shrink_and_not_grow() -> None:
    grown = Source("controlplane/a.py", "x = 1\n" * 502)

    assert list(too_long([grown], {"controlplane/a.py": 502})) == []
    assert len(list(too_long([grown], {"controlplane/a.py": 501}))) == 1


def test_a_file_too_many_is_found_in_a_folder() -> None:
    full = [Source(f"executor/tca/f{number}.py", "") for number in range(FOLDER_FILES_MAX + 1)]

    assert list(too_full(full[:-1])) == []
    assert len(list(too_full(full))) == 1
