"""What is wrong with a policy file, as sentences to act on: file, key, what was expected, what was found."""

import difflib
import re
from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controlplane.domain.errors import PolicyInvalid
from controlplane.policy.schema import FILES

SHOWN_PROBLEMS = 5

_EXPECTED_BY_TYPE = {
    "int_type": "a whole number without quotes",
    "string_type": "text in quotes",
    "bool_type": "true or false without quotes",
    "tuple_type": "a list in square brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "date_type": "a date such as 2026-12-25 without quotes",
    "timezone_aware": "a moment with its offset from UTC such as 2037-12-25T08:00:00Z",
    "datetime_type": "a moment with its offset from UTC such as 2037-12-25T08:00:00Z",
    "is_instance_of": "text in quotes",
}


def refusal(problems: Sequence[str]) -> PolicyInvalid:
    """Return the error that carries the first few problems, one sentence each, and says how many more there are."""
    shown = list(problems[:SHOWN_PROBLEMS])
    if len(problems) > SHOWN_PROBLEMS:
        shown.append(f"{len(problems) - SHOWN_PROBLEMS} more problems were found; put these right first.")
    return PolicyInvalid("\n".join(shown))


def shape_problems(contents: Mapping[str, Mapping[str, object]], error: ValidationError) -> list[str]:
    """Return one sentence for every place where the content of a file doesn't have the shape of that file.

    Arguments
        contents  keys of each file by the file's name
        error     what the type checker said about the whole rule book
    """
    files = {field: name for name, field in FILES.items()}
    details = [(files[str(detail["loc"][0])], detail) for detail in error.errors(include_url=False)]
    paths = [_path(contents[file], detail["loc"][1:], detail["type"]) for file, detail in details]
    missing = [(file, path) for (file, detail), path in zip(details, paths, strict=True) if detail["type"] == "missing"]
    return [
        _sentence(file, path, detail, [other for where, other in missing if where == file])
        for (file, detail), path in zip(details, paths, strict=True)
    ]


def file_problems(file: str, content: Mapping[str, object], error: ValidationError) -> list[str]:
    """Return one sentence for every place where the content of a single file doesn't have the shape of that file.

    Arguments
        content  keys of the file
        error    what the type checker said about it
    """
    details = error.errors(include_url=False)
    paths = [_path(content, detail["loc"], detail["type"]) for detail in details]
    missing = [path for detail, path in zip(details, paths, strict=True) if detail["type"] == "missing"]
    return [_sentence(file, path, detail, missing) for detail, path in zip(details, paths, strict=True)]


def dotted(path: Sequence[object]) -> str:
    """Return a key path as TOML writes it, with quotes around names that need them."""
    return ".".join(_key_text(part) for part in path)


def _sentence(file: str, path: tuple[object, ...], detail: ErrorDetails, missing: list[tuple[object, ...]]) -> str:
    key = dotted(path) or "the file"
    if detail["type"] == "missing":
        return f"{file}: {key} is missing; write it, since nothing is assumed for it (a limit of 0 permits nothing)."
    if detail["type"] == "extra_forbidden":
        absent = [str(other[-1]) for other in missing if other[:-1] == path[:-1]]
        near = difflib.get_close_matches(str(path[-1]), absent, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it or correct its name as policies/README.md has it."
        return f"{file}: {key} is no known key; {hint}"
    return f"{file}: {key} must be {_expected(detail)}, found {_found(detail['input'])}; correct it."


def _expected(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "value_error":
        return str(context["error"])
    if kind in {"enum", "literal_error"}:
        return f"one of {context['expected']}"
    if kind == "union_tag_invalid":
        return f"marked with one of {context['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"marked with {context['discriminator']}"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    return _EXPECTED_BY_TYPE.get(kind) or _bound(detail["msg"])


def _bound(message: str) -> str:
    """Return a library's message about a bound as the end of our own sentence."""
    return re.sub(r"^(?:Input|String|Tuple|Dictionary) should (?:be |have )?", "", message)


def _found(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _path(content: Mapping[str, object], keys: Sequence[int | str], kind: str) -> tuple[object, ...]:
    """Return the keys that lead to the problem; marks of the type checker that are no keys of the file are left out."""
    path: list[object] = []
    current: object = content
    for position, part in enumerate(keys):
        holder = dict(enumerate(current)) if isinstance(current, list) else current
        if isinstance(holder, Mapping) and part in holder:
            current = holder[part]
        elif kind != "missing" or position != len(keys) - 1:
            continue
        path.append(part)
    return tuple(path)


def _key_text(part: object) -> str:
    text = str(part)
    return text if text.replace("_", "").replace("-", "").isalnum() else f'"{text}"'
