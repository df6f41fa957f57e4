"""Reads a folder of policy files into one checked value, or says in sentences why it can't.

A rule book is taken whole or not at all: an unreadable, unknown, missing, half-written or contradictory file refuses
all of it.
"""

import datetime as dt
import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from controlplane.policy.cases import CASES_FOLDER, CasesFile, cases_of
from controlplane.policy.coverage import contradictions
from controlplane.policy.problems import refusal, shape_problems
from controlplane.policy.schema import FILES, Policies, RuleBook

README = "README.md"
FILE_BYTES_MAX = 1 << 20

_FOLDERS = sorted({str(PurePosixPath(name).parent) for name in FILES})


def load_policies(directory: Path) -> Policies:
    """Return the rule book that a folder holds.

    Errors
        PolicyInvalid with the first few problems, a sentence a line; nothing of the folder is used
    """
    return parse_policies(read_files(directory))


def read_files(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every policy file of a folder, by its name relative to the folder.

    Names that begin with a point are left alone: mounts and editors keep their own things there.

    Errors
        PolicyInvalid when the folder or a file can't be read, when a file is missing, and for a name no policy file has
    """
    names: set[str] = set()
    for folder in _FOLDERS:
        try:
            found = [(PurePosixPath(folder) / path.name).as_posix() for path in (directory / folder).iterdir()]
        except OSError as error:
            place = directory / folder
            problem = (
                f"The policy folder {place} must be readable, found: {error.strerror}; restore it or name another."
            )
            raise refusal([problem]) from None
        names.update(name for name in found if not PurePosixPath(name).name.startswith("."))
    problems = _unexpected(names - set(_FOLDERS) - {CASES_FOLDER})
    files: dict[str, bytes] = {}
    for name in sorted(names & set(FILES)):
        try:
            with (directory / name).open("rb") as opened:
                files[name] = opened.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            problems.append(f"{name}: the file must be readable, found: {error.strerror}; restore it.")
    if problems:
        raise refusal(problems)
    return files


def load_cases(directory: Path) -> dict[str, CasesFile]:
    """Return the cases that stand beside a rule book, by file; none where it has no folder of them.

    Errors
        PolicyInvalid with the first few problems, a sentence a line
    """
    found: dict[str, CasesFile] = {}
    problems: list[str] = []
    for name, raw in _read_cases(directory / CASES_FOLDER).items():
        content = _content(name, raw)
        checked = [content] if isinstance(content, str) else cases_of(name, content)
        if isinstance(checked, CasesFile):
            found[name] = checked
        else:
            problems += checked
    if problems:
        raise refusal(problems)
    return found


def _read_cases(folder: Path) -> dict[str, bytes]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return {f"{CASES_FOLDER}/{path.name}": path.read_bytes() for path in paths}
    except FileNotFoundError:
        return {}
    except OSError as error:
        sentence = f"The cases in {folder} must be readable files, found: {error.strerror}; restore them."
        raise refusal([sentence]) from None


def parse_policies(files: Mapping[str, bytes]) -> Policies:
    """Return the rule book made of these files, after every check of shape, names and completeness.

    Errors
        PolicyInvalid with the first few problems, a sentence a line
    """
    return policies_of(contents_of(files))


def contents_of(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """Return the keys of every file.

    Errors
        PolicyInvalid with the first few problems, a sentence a line
    """
    contents, problems = _contents(files)
    if problems:
        raise refusal(problems)
    return contents


def policies_of(contents: Mapping[str, Mapping[str, object]]) -> Policies:
    """Return the rule book made of the keys of every file, after every check but those of the text itself.

    Errors
        PolicyInvalid with the first few problems, a sentence a line
    """
    found = _checked(contents)
    if isinstance(found, Policies):
        return found
    raise refusal(found)


def every_problem(files: Mapping[str, bytes]) -> list[str]:
    """Return one sentence for everything that keeps these files from being a rule book; none when they are one."""
    contents, problems = _contents(files)
    if problems:
        return problems
    found = _checked(contents)
    return [] if isinstance(found, Policies) else found


def _contents(files: Mapping[str, bytes]) -> tuple[dict[str, dict[str, object]], list[str]]:
    problems = _unexpected(files)
    contents: dict[str, dict[str, object]] = {}
    for name in sorted(set(files) & set(FILES)):
        content = _content(name, files[name])
        if isinstance(content, str):
            problems.append(content)
        else:
            contents[name] = content
    return contents, problems


def _checked(contents: Mapping[str, Mapping[str, object]]) -> Policies | list[str]:
    try:
        book = RuleBook.model_validate({FILES[name]: content for name, content in contents.items()})
    except ValidationError as error:
        return shape_problems(contents, error)
    policies = _assemble(book, digest=_digest(contents))
    return contradictions(policies) or policies


def _unexpected(names: Collection[str]) -> list[str]:
    missing = sorted(set(FILES) - set(names))
    unknown = sorted(set(names) - set(FILES) - {README})
    return [
        *(f"{name}: the file is missing; restore it, since nothing is assumed for what it holds." for name in missing),
        *(f"{name}: no policy file has this name; remove it or correct the name." for name in unknown),
    ]


def _content(name: str, raw: bytes) -> dict[str, object] | str:
    """Return the keys of a TOML file, or the sentence that says why it has none."""
    if len(raw) > FILE_BYTES_MAX:
        return f"{name}: the file must be at most {FILE_BYTES_MAX} bytes, and is larger; restore it."
    if not raw.endswith(b"\n"):
        return f"{name}: the file must end with a line break, or its writing was cut short; finish or restore it."
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"{name}: the file must be UTF-8 text, found another byte at position {error.start}; save it as UTF-8."
    except RecursionError:
        return f"{name}: the file must nest its tables a few levels deep, and nests them without end; restore it."
    except ValueError as error:
        # A key written twice ends here as well.
        return f"{name}: the file must be complete TOML with every key once ({error}); correct or restore it."


def _digest(contents: Mapping[str, object]) -> str:
    """Return the SHA-256 of the content: comments, spacing and the order of keys don't count, every value does."""
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_moment_text)
    return hashlib.sha256(text.encode()).hexdigest()


def _moment_text(value: object) -> str:
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    raise TypeError(f"a policy value of type {type(value).__name__} has no canonical text")


def _assemble(book: RuleBook, *, digest: str) -> Policies:
    return Policies(
        instruments=book.instruments.instruments,
        reporting_currency=book.currencies.reporting_currency,
        currencies=book.currencies.currencies,
        venues=book.venues.venues,
        counterparties=book.venues.counterparties,
        calendars=book.calendars.calendars,
        volume_curves=book.volume_curves.volume_curves,
        watch=book.watch,
        retention=book.retention,
        recoveries=book.breakers.recoveries,
        breakers=book.breakers.breakers,
        measures=book.telemetry.measures,
        thresholds=book.telemetry.thresholds,
        factors=book.dynamic.factors,
        models=book.governance.models,
        firm=book.firm,
        desks=book.desks.desks,
        limit_sets=book.strategies.limit_sets,
        parent_limit_sets=book.strategies.parent_limit_sets,
        strategies=book.strategies.strategies,
        collars=book.collars.instruments,
        digest=digest,
    )
