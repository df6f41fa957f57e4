"""Forms as they arrive: read strictly, with the one-time key and the state that the person saw."""

from urllib.parse import parse_qsl

from controlplane.domain.errors import InvalidRequest
from controlplane.identity.guard import FORM_TOKEN_FIELD

FIELDS_MAX = 30
VALUE_LENGTH_MAX = 2_000


def parse_form(body: bytes, *, allowed: frozenset[str]) -> dict[str, str]:
    """The fields of a form by name.

    Arguments
        allowed  names that the form has, without the form token
    Errors
        InvalidRequest for bytes that aren't UTF-8, too many or too long fields, a field given twice, or an unknown one
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise InvalidRequest(f"Expected a form in UTF-8 with at most {FIELDS_MAX} fields, found: {error}.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name == FORM_TOKEN_FIELD:
            continue
        if name not in allowed:
            raise InvalidRequest(f"The form has no field {name[:40]!r}; reload the page and try.", field=name[:40])
        if name in fields:
            raise InvalidRequest(f"Expected the field {name!r} once, found it twice; reload the page.", field=name)
        if len(value) > VALUE_LENGTH_MAX:
            raise InvalidRequest(f"Expected at most {VALUE_LENGTH_MAX} characters, found {len(value)}.", field=name)
        fields[name] = value
    return fields


def required(fields: dict[str, str], name: str) -> str:
    """The value of a field that must be there and not blank.

    Errors
        InvalidRequest naming it
    """
    value = fields.get(name, "").strip()
    if not value:
        raise InvalidRequest(f"The field {name!r} is missing or blank; fill it in and try again.", field=name)
    return value


def local_path(text: str) -> str:
    """The address if it is one of ours, else `/`; a sign-in must not send anybody to another site."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and len(text) < 500
    return text if is_local and "\\" not in text else "/"
