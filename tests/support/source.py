"""Our own source as data, for the checks of the repository itself: files, their imports, their sizes."""

import ast
import subprocess
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

PACKAGES = ("controlplane", "executor")


@dataclass(frozen=True)
class Source:
    """One Python file: where it lies, relative to the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, filename=self.path)

    @property
    def module(self) -> str:
        """Its name when imported; a folder's `__init__.py` has the folder's name."""
        path = PurePosixPath(self.path).with_suffix("")
        return ".".join(path.parent.parts if path.name == "__init__" else path.parts)

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.text.splitlines())


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module and the line that imports it."""

    line: int
    module: str


def read_sources(root: Path, folders: Iterable[str] = PACKAGES) -> list[Source]:
    """Every Python file under these folders, in order of path."""
    return [
        Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
    ]


def tracked_files(root: Path) -> list[str]:
    """The files of the checkout that git keeps or would keep, in order; nothing that it ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


def imports_of(source: Source, known: Collection[str] = ()) -> Iterator[Import]:
    """What a file imports, wherever in the file; `from folder import file` names the file where it is known as one."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield Import(node.lineno, full if full in known else node.module)


def calls_of(source: Source) -> Iterator[tuple[int, str]]:
    """Every call with its line and its dotted name as written, such as `time.time_ns` or `.read_text`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, _dotted(node.func)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def functions_of(source: Source) -> Iterator[tuple[int, str, int]]:
    """Every function: its first line, its name, and how many lines it has, decorators not counted."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name, (node.end_lineno or node.lineno) - node.lineno + 1
