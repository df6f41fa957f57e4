"""The one byte form of a JSON record: RFC 8785, narrowed to what every reader reads alike.

A record holds text, booleans, nulls, integers below 2^53, lists and objects. Fractions and larger integers are refused:
two JSON libraries may read them as different numbers, so such values travel as decimal text.
"""

import json
from collections.abc import Mapping
from typing import NoReturn, TypeAlias

from controlplane.domain.errors import InvalidRequest

JsonValue: TypeAlias = "str | bool | int | list[JsonValue] | dict[str, JsonValue] | None"

INTEGER_MAX = 2**53 - 1
NESTING_MAX = 32


def canonical_json(payload: Mapping[str, object]) -> bytes:
    """Return the canonical UTF-8 bytes of an object; equal objects give equal bytes.

    Errors
        InvalidRequest for a fraction, an integer of 2^53 or more, a key that isn't text, text that isn't Unicode, any
        other type, and nesting deeper than 32; names the field
    """
    ordered = _ordered(payload, path="", depth=0)
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"), check_circular=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"Expected text in Unicode, found half of a surrogate pair at character {error.start}; correct the text."
        ) from None


def parse_canonical(entry: bytes) -> dict[str, JsonValue]:
    """Return the object whose canonical bytes these are.

    Errors
        InvalidRequest when the bytes aren't JSON, aren't an object, or aren't the canonical form of what they say
    """
    try:
        value = json.loads(entry.decode("utf-8"), parse_float=_refuse_number, parse_constant=_refuse_number)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"Expected a canonical JSON object, found bytes that don't parse: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"Expected a canonical JSON object, found {type(value).__name__}.")
    # Duplicate keys, spaces, another order and other escapes all differ from what we would have written.
    if canonical_json(value) != entry:
        raise InvalidRequest("Expected a canonical JSON object, found one that was written in another form.")
    return value


def _ordered(value: object, *, path: str, depth: int) -> JsonValue:
    if depth > NESTING_MAX:
        raise InvalidRequest(f"Expected at most {NESTING_MAX} levels of nesting, found more in {path!r}.", field=path)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise InvalidRequest(
                f"Expected an integer below 2^53 in {path!r}, found {value}; write it as decimal text.", field=path
            )
        return int(value)  # an enumeration's number, not its name
    if isinstance(value, list | tuple):
        return [_ordered(item, path=f"{path}[{index}]", depth=depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _ordered_object(value, path=path, depth=depth)
    raise InvalidRequest(
        f"Expected text, boolean, integer, null, list or object in {path!r}, found {type(value).__name__}; "
        "write it as text or as a scaled integer.",
        field=path,
    )


def _ordered_object(value: Mapping[object, object], *, path: str, depth: int) -> dict[str, JsonValue]:
    names: list[str] = []
    for name in value:
        if not isinstance(name, str):
            raise InvalidRequest(f"Expected keys that are text in {path!r}, found {name!r}.", field=path)
        names.append(name)
    # RFC 8785 orders by UTF-16 code units, which differs from Python's order above U+FFFF.
    names.sort(key=_utf16)
    return {name: _ordered(value[name], path=f"{path}.{name}" if path else name, depth=depth + 1) for name in names}


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"number {text[:40]} is not an integer")
