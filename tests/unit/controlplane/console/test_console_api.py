"""REST: what it answers, and what it says to bad input; never a 500."""

import pytest

from tests.support.console import Browser, Desk


def test_orders_children_decisions_limits_and_status_are_there_for_programs(shared_desk: Desk) -> None:
    operator = shared_desk.client()

    parents = operator.get("/api/orders").json()["parents"]
    detail = operator.get(f"/api/orders/{parents[1]['parent_id']}").json()
    child = operator.get(f"/api/children/{detail['children'][0]['child_id']}").json()
    denied = operator.get("/api/decisions?outcome=DENIED").json()
    one = operator.get(f"/api/decisions/{denied['decisions'][0]['place']}").json()

    assert len(parents) == 3
    assert detail["parent"]["filled_lots"] == 19_400
    assert [step["number"] for step in child["steps"]] == list(range(1, 19))
    assert (denied["total"], denied["has_older"]) == (2, False)
    assert one["facts"]["code"] == "ORDER_QUANTITY_ABOVE_LIMIT"
    assert operator.get("/api/limits/utilisation").json()["value"]["rows"]
    assert operator.get("/api/status").json()["gate"]["value"]["gate_id"] == 0
    assert operator.get("/api/halts").json()["states"] == []


def test_a_stop_a_reason_and_a_lift_by_two_through_the_interface(desk: Desk) -> None:
    operator, officer = desk.client(), desk.client("risk-officer")
    key = {"Idempotency-Key": "a-key-of-twenty-signs"}

    first = operator.post_json("/api/halts", {"rung": "halt", "scope": "firm"}, **key)
    again = operator.post_json("/api/halts", {"rung": "halt", "scope": "firm"}, **key)
    stop_id = first.json()["stop_id"]
    reason = operator.post_json(f"/api/halts/{stop_id}/reason", {"reason": "feeds look wrong"})
    lift = operator.post_json(
        "/api/halts/lifts",
        {"scope": "firm", "reason": "found and fixed"},
        **{"Idempotency-Key": "another-key-of-signs"},
    ).json()
    path = f"/api/halts/lifts/{lift['lift_id']}/confirm"
    alone = operator.post_json(path, {"scope": "firm:firm"})
    together = officer.post_json(path, {"scope": "firm:firm"})

    assert (first.status_code, again.json()) == (201, first.json())
    assert reason.json()["reason"] == "feeds look wrong"
    assert (alone.status_code, alone.json()["title"]) == (403, "SameApprover")
    assert (together.status_code, together.json()["stage"]) == (200, "confirmed")
    assert desk.gate.states == {}


BAD_BODIES = [
    (b"", 422),
    (b"{", 400),
    (b"[]", 422),
    (b'"halt"', 422),
    (b"null", 422),
    (b'{"rung": "halt", "rung": "pause", "scope": "firm"}', 400),
    (b'{"rung": NaN, "scope": "firm"}', 400),
    (b'{"rung": 1e999, "scope": "firm"}', 400),
    (b'{"rung": "halt", "scope": "firm", "extra": 1}', 422),
    (b'{"rung": 7, "scope": "firm"}', 422),
    (b'{"rung": "halt"}', 422),
    (b'{"rung": "halt", "scope": ""}', 422),
    (b'{"rung": "halt", "scope": "colour:red"}', 422),
    (b'{"rung": "explode", "scope": "firm"}', 422),
    (b'{"rung": "halt", "scope": "\xff"}', 400),
    (b'{"rung": "halt", "scope": "desk:\\ud800"}', 422),
    (b'{"rung": "halt", "scope": "desk:\\u0000"}', 422),
    (b"[" * 100_000, 413),
    (b"[" * 5_000, 400),
    (b'{"rung": "halt", "scope": "' + b"x" * 70_000 + b'"}', 413),
    (b'{"rung": "halt", "scope": ' + b"9" * 5_000 + b"}", 400),
]


@pytest.mark.parametrize(("body", "status"), BAD_BODIES)
def test_a_bad_body_gets_one_sentence_and_its_status(shared_desk: Desk, body: bytes, status: int) -> None:
    operator = shared_desk.client()
    headers = {"content-type": "application/json", "x-form-token": operator.token, "Idempotency-Key": "k" * 20}

    answer = operator.http.request("POST", "/api/halts", content=body, headers=headers)

    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert "Traceback" not in answer.text
    assert shared_desk.gate.acts("set_state") == []


@pytest.mark.parametrize("key", ["", "short", "x" * 65])
def test_a_stop_without_a_sound_key_is_refused(shared_desk: Desk, key: str) -> None:
    headers = {"Idempotency-Key": key} if key else {}

    answer = shared_desk.client().post_json("/api/halts", {"rung": "halt", "scope": "firm"}, **headers)

    assert answer.status_code == 422
    assert shared_desk.gate.acts("set_state") == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/orders?limit=0",
        "/api/orders?limit=many",
        "/api/orders/zz",
        "/api/orders/00000000000000ZZ",
        "/api/children/00000000000000ff",
        "/api/decisions?code=drop%20table",
        "/api/decisions?code=NO_SUCH_CODE",
        "/api/decisions?order=1",
        "/api/decisions?from_ns=-1",
        "/api/decisions?from_ns=99999999999999999999999",
        "/api/decisions?before=gate-0.99999999999999999999999999",
        "/api/decisions/gate-0.99999999999999999999999999",
        "/api/decisions/%00",
        "/api/decisions/gate-0.%D9%A1",
    ],
)
def test_a_bad_question_is_refused_in_a_sentence(shared_desk: Desk, path: str) -> None:
    answer = shared_desk.client().get(path)

    assert answer.status_code in (404, 422), answer.text[:300]
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "operator", "password": "wrong"}, 401),
        ({"name": "operator"}, 422),
        ({"name": "operator", "password": 5}, 422),
        ({"name": "operator", "password": "x", "role": "admin"}, 422),
        ({"name": "o" * 65, "password": "x"}, 422),
        ({"name": "operator", "password": "x" * 257}, 422),
        ({"name": "op\u0000erator", "password": "x"}, 401),
        ({"name": "operator", "password": "\u0000"}, 401),
    ],
)
def test_a_bad_sign_in_is_refused_and_gives_nothing_away(
    shared_desk: Desk, body: dict[str, object], status: int
) -> None:
    answer = Browser(shared_desk).http.request("POST", "/api/session", json=body)

    assert answer.status_code == status, answer.text
    assert "set-cookie" not in answer.headers
    assert shared_desk.passwords["operator"] not in answer.text


def test_the_interface_describes_itself_without_asking_another_host(shared_desk: Desk) -> None:
    document = shared_desk.client().get("/api/openapi.json").json()

    assert "/api/halts" in document["paths"]
    assert "/stop" not in document["paths"]
    assert document["openapi"].startswith("3.")
    assert Browser(shared_desk).get("/docs").status_code == 303


def test_a_database_that_is_away_is_a_503_with_a_time_to_retry(desk: Desk) -> None:
    operator = desk.client()
    desk.go_away()

    answer = operator.get("/api/decisions")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
