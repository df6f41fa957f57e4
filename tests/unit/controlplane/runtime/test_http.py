"""Errors over HTTP, the largest body, and JSON that reads the same for everybody."""

import asyncio
import inspect
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel

from controlplane.domain import errors
from controlplane.runtime import metrics
from controlplane.runtime.http import BodyRules, MalformedBody, install, install_error_handlers, strict_json_loads

BODY_BYTES_MAX = 2048

FAMILIES = (errors.RequestError, errors.DependencyError, errors.EvidenceError)
CONCRETE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, FAMILIES) and kind not in FAMILIES
]


class Order(BaseModel):
    quantity_lots: int


def client_of(raise_error: Callable[[], None], stopped: list[str] | None = None) -> TestClient:
    """A small application whose one route raises what it is told to, and whose others take a body."""
    app = FastAPI()
    if stopped is None:
        install(app, body_bytes_max=BODY_BYTES_MAX)
    else:
        install_error_handlers(app, stop_process=lambda: stopped.append("stop"))

    @app.get("/raise")
    def fail() -> None:
        raise_error()

    @app.post("/orders")
    def take(order: Order) -> dict[str, int]:
        return {"quantity_lots": order.quantity_lots}

    @app.post("/forms")
    async def take_form(request: Request) -> dict[str, str]:
        return {"read": (await request.body()).decode()}

    return TestClient(app, raise_server_exceptions=False)


def answer_to(error: Exception) -> tuple[int, dict[str, object], dict[str, str]]:
    def fail() -> None:
        raise error

    response = client_of(fail).get("/raise")
    return response.status_code, response.json(), dict(response.headers)


@pytest.fixture(scope="module")
def orders() -> TestClient:
    return client_of(lambda: None)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.InvalidRequest, 422),
        (errors.PolicyInvalid, 422),
        (errors.UnknownReference, 404),
        (errors.NotPermitted, 403),
        (errors.SameApprover, 403),
        (errors.StateConflict, 409),
        (errors.DatabaseUnavailable, 503),
        (errors.GateUnavailable, 503),
        (errors.ChainBroken, 500),
        (errors.PermitInvalid, 500),
    ],
)
def test_error_is_answered_with_its_status_and_its_sentence(kind: type[Exception], status: int) -> None:
    code, body, headers = answer_to(kind("Expected this, found that; do so."))

    assert code == status
    assert body["detail"] == "Expected this, found that; do so."
    assert (body["status"], body["title"]) == (status, kind.__name__)
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", CONCRETE)
def test_every_error_of_the_tree_has_an_answer(kind: type[Exception]) -> None:
    code, body, _ = answer_to(kind("sentence"))

    family = next(one for one in FAMILIES if issubclass(kind, one))
    assert (code // 100, code == 503) == {
        errors.RequestError: (4, False),
        errors.DependencyError: (5, True),
        errors.EvidenceError: (5, False),
    }[family]
    assert body["type"] == f"urn:controlplane:error:{kind.__name__}"


def test_invalid_request_names_the_field_and_not_permitted_the_rule() -> None:
    _, invalid, _ = answer_to(errors.InvalidRequest("x", field="quantity_lots"))
    _, forbidden, _ = answer_to(errors.NotPermitted("x", rule="two-people-lift"))

    assert invalid["field"] == "quantity_lots"
    assert forbidden["rule"] == "two-people-lift"


def test_unwell_dependency_is_counted_and_says_when_to_try_again() -> None:
    counted = metrics.DEPENDENCY_ERRORS.labels(error="VenueUnavailable")
    before = counted._value.get()

    _, _, headers = answer_to(errors.VenueUnavailable("x"))

    assert headers["retry-after"] == "5"
    assert counted._value.get() == before + 1


def test_contradicting_evidence_gets_an_incident_number_of_its_own() -> None:
    _, first, _ = answer_to(errors.ChainBroken("x"))
    _, second, _ = answer_to(errors.ChainBroken("x"))

    assert len(str(first["incident"])) == 32
    assert first["incident"] != second["incident"]


def test_broken_invariant_tells_the_caller_nothing_and_stops_the_process() -> None:
    stopped: list[str] = []

    def fail() -> None:
        raise errors.InvariantBroken("reserved 5 of 4")

    response = client_of(fail, stopped).get("/raise")

    assert response.status_code == 500
    assert "reserved" not in response.text
    assert stopped == ["stop"]


def test_unknown_address_is_a_problem_document_too(orders: TestClient) -> None:
    response = orders.get("/nowhere")

    assert (response.status_code, response.json()["title"]) == (404, "NotFound")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"quantity_lots": "many"}', "quantity_lots"),
        (b"{}", "quantity_lots"),
        (b"[]", ""),
        (b'{"quantity_lots": 1.5}', "quantity_lots"),
    ],
)
def test_wrong_value_is_422_and_names_its_field(orders: TestClient, body: bytes, field: str) -> None:
    response = orders.post("/orders", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 422
    assert response.json().get("field", "") == field


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "application/x+json", ""]
)
def test_body_with_a_key_given_twice_never_reaches_the_route(orders: TestClient, media_type: str) -> None:
    headers = {"content-type": media_type} if media_type else {}

    response = orders.post("/orders", content=b'{"quantity_lots": 1, "quantity_lots": 1000}', headers=headers)

    assert response.status_code == 400
    assert "'quantity_lots' twice" in response.json()["detail"]


def test_right_body_reaches_the_route(orders: TestClient) -> None:
    response = orders.post("/orders", json={"quantity_lots": 7})

    assert (response.status_code, response.json()) == (200, {"quantity_lots": 7})


def test_form_is_passed_on_as_it_came(orders: TestClient) -> None:
    response = orders.post("/forms", content=b"a=1&a=2", headers={"content-type": "application/x-www-form-urlencoded"})

    assert response.json() == {"read": "a=1&a=2"}


@pytest.mark.parametrize("is_declared", [True, False])
def test_body_over_the_largest_size_is_413_whether_or_not_its_length_is_told(
    orders: TestClient, is_declared: bool
) -> None:
    body = b'{"quantity_lots": 1' + b" " * BODY_BYTES_MAX + b"}"

    response = orders.post(
        "/orders",
        content=body if is_declared else iter([body[:1000], body[1000:]]),
        headers={"content-type": "application/json"},
    )

    assert (response.status_code, response.json()["title"]) == (413, "BodyTooLarge")


def test_body_of_just_the_largest_size_passes(orders: TestClient) -> None:
    body = b'{"quantity_lots": 1' + b" " * (BODY_BYTES_MAX - 20) + b"}"
    assert len(body) == BODY_BYTES_MAX

    assert orders.post("/orders", content=body, headers={"content-type": "application/json"}).status_code == 200


def test_body_cut_off_by_the_caller_never_reaches_the_route() -> None:
    """The first half of a body may be valid by itself; acting on it would be acting on what nobody said."""
    reached: list[object] = []
    messages = [
        {"type": "http.request", "body": b"1", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def app(scope: object, receive: object, send: object) -> None:
        reached.append(scope)

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(message: object) -> None:
        reached.append(message)

    scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(BodyRules(app, body_bytes_max=100)(scope, receive, send))

    assert reached == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1, "a": 1}', "'a' twice"),
        (b'{"x": {"a": 1, "a": 2}}', "'a' twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' twice"),
        (b'{"a": NaN}', "found NaN"),
        (b"[Infinity]", "found Infinity"),
        (b"[-Infinity]", "found -Infinity"),
        (b"[1e999]", "1e999"),
        (b"[-1e999]", "-1e999"),
        (b"[" + b"9" * 5000 + b"]", "at most 40 digits, found 5000"),
        (b'{"a": 1', "line 1 column"),
        (b"", "Expecting value"),
        (b"{'a': 1}", "line 1 column 2"),
        (b"[1,]", "found"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
        (b'"\xff"', "byte 1"),
        (b'\xef\xbb\xbf{"a": 1}', "found"),
        (b"[" * 40 + b"]" * 40, "at most 32 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "at most 32 levels"),
        (b'["\x00"]', "control character"),
    ],
)
def test_malformed_json_is_one_sentence(body: bytes, said: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        strict_json_loads(body)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true], "b": {"a": -1e-3}}', {"a": [1, 2.5, "x", None, True], "b": {"a": -0.001}}),
        (b"[" * 32 + b"]" * 32, None),
        (b"9223372036854775808", 9223372036854775808),
        ('"\u00e9"'.encode(), "\u00e9"),
    ],
)
def test_well_formed_json_keeps_its_value(body: bytes, value: object) -> None:
    parsed = strict_json_loads(body)

    assert value is None or parsed == value
