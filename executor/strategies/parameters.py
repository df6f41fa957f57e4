"""Strategy parameters as they arrive from a person or a file, turned into typed values or refused with a sentence.

Each strategy declares its parameters once, as a frozen dataclass whose fields carry bounds and meaning; reading text,
checking bounds and listing them for people all follow from that declaration.
"""

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from controlplane.domain.errors import InvalidRequest

P = TypeVar("P")

LIST_ENTRIES_MAX = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class ParameterRule:
    """One parameter for people: its name, kind, default, bounds and meaning."""

    name: str
    kind: str
    default: object
    low: float
    high: float
    meaning: str


def parameter(default: Any, *, kind: str, low: float, high: float, meaning: str) -> Any:
    """Return a dataclass field with its rule attached; `kind` is "integer", "number" or "integers"."""
    return dataclasses.field(default=default, metadata={"kind": kind, "low": low, "high": high, "meaning": meaning})


def rules_of(parameters: type[Any]) -> tuple[ParameterRule, ...]:
    """Return the declared parameters in order."""
    return tuple(
        ParameterRule(name=item.name, default=item.default, **item.metadata) for item in dataclasses.fields(parameters)
    )


def read_parameters(parameters: type[P], given: Mapping[str, object]) -> P:
    """Return typed parameters from names and values, text or numbers; what is not given keeps its default.

    Errors
        InvalidRequest   an unknown name, a value of the wrong kind, or one outside its bounds; names the field
    """
    rules = {rule.name: rule for rule in rules_of(parameters)}
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in rules:
            raise InvalidRequest(
                f"Unknown strategy parameter {name[:40]!r}; the known ones are {', '.join(rules)}.", field=name[:40]
            )
        values[name] = _read(rules[name], value)
    return parameters(**values)


def check_bounds(parameters: object) -> None:
    """Return when every parameter lies within its bounds; called by each parameter class on construction.

    Errors
        InvalidRequest   naming the first field that does not
    """
    for rule in rules_of(type(parameters)):
        value = getattr(parameters, rule.name)
        if value is None and rule.default is None:
            continue
        for number in value if rule.kind == "integers" else (value,):
            is_right_kind = isinstance(number, int | float) if rule.kind == "number" else isinstance(number, int)
            if not is_right_kind or isinstance(number, bool) or not rule.low <= number <= rule.high:
                raise InvalidRequest(
                    f"{rule.name} must be {_kind_in_words(rule)} between {rule.low} and {rule.high}, found {number!r}; "
                    f"it means {rule.meaning}.",
                    field=rule.name,
                )


def _read(rule: ParameterRule, value: object) -> object:
    """Return one value in its declared kind."""
    if rule.kind != "integers":
        return _number(rule, value)
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not 1 <= len(entries) <= LIST_ENTRIES_MAX:
        raise InvalidRequest(
            f"{rule.name} must be a list of 1 to {LIST_ENTRIES_MAX} integers such as 3,2,1, found {str(value)[:40]!r}.",
            field=rule.name,
        )
    return tuple(_number(rule, entry) for entry in entries)


def _number(rule: ParameterRule, value: object) -> int | float:
    """Return an int, or a finite float where the rule takes one."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError
        if isinstance(value, str) and (len(value) > 40 or not value.isascii() or "_" in value):
            raise ValueError
        if rule.kind == "number":
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            return number
        whole = int(value)
        if isinstance(value, float) or (isinstance(value, Decimal) and whole != value):
            raise ValueError
        return whole
    except (ArithmeticError, ValueError):
        raise InvalidRequest(
            f"{rule.name} must be {_kind_in_words(rule)}, found {str(value)[:40]!r}; it means {rule.meaning}.",
            field=rule.name,
        ) from None


def _kind_in_words(rule: ParameterRule) -> str:
    return "a finite number" if rule.kind == "number" else "a whole number"
