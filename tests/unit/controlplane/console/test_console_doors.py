"""Doors: default deny on every route, foreign pages and names refused, cookies and headers as they should be."""

import pytest
from starlette.routing import Mount, Route

from controlplane.app import DOORS
from controlplane.console.doors import Doors, sorted_pairs
from controlplane.domain.errors import InvariantBroken
from controlplane.identity.access import SAFE_METHODS, Access
from tests.support.console import Browser, Desk

EXAMPLES = {
    "{parent_id}": "00000000000000aa",
    "{child_id}": "00000000000000bb",
    "{place}": "gate-0.1",
    "{stop_id}": "00000000000000cc",
    "{lift_id}": "00000000000000dd",
    "{digest}": "x",
    "{name:path}": "app.css",
}


def example(path: str) -> str:
    """An address that the pattern stands for."""
    for part, value in EXAMPLES.items():
        path = path.replace(part, value)
    return path


@pytest.mark.case("EVIDENCE-65")
def test_every_route_that_exists_has_a_line_and_without_a_session_only_public_ones_answer(desk: Desk) -> None:
    existing = [pair for pair in sorted_pairs(desk.app.routes) if pair[0] != "HEAD"]
    assert sorted(existing) == sorted(DOORS)
    nobody = Browser(desk)

    for method, path in existing:
        access = DOORS[method, path]
        answer = nobody.http.request(method, example(path), headers={"sec-fetch-site": "same-origin"})
        is_open = access is Access.PUBLIC or (access is Access.MACHINE)
        if is_open:
            assert answer.status_code not in (303, 401, 403), f"{method} {path}"
        elif method in SAFE_METHODS and not path.startswith(("/api", "/live")) and not path.endswith(".json"):
            assert answer.status_code == 303, f"{method} {path}"
            assert answer.headers["location"].startswith("/sign-in?next="), f"{method} {path}"
        else:
            assert answer.status_code == 401, f"{method} {path}"


def test_a_route_without_a_line_keeps_the_service_from_starting() -> None:
    with pytest.raises(InvariantBroken, match="GET /secret"):
        Doors([Route("/secret", lambda request: None)], {})


def test_a_line_without_a_route_keeps_the_service_from_starting() -> None:
    with pytest.raises(InvariantBroken, match="GET /gone"):
        Doors([], {("GET", "/gone"): Access.PUBLIC})


def test_a_mount_can_not_slip_past_the_table() -> None:
    with pytest.raises(InvariantBroken, match="no plain HTTP route"):
        Doors([Mount("/files", routes=[])], {})


def test_an_address_that_is_nothing_looks_like_any_other_to_a_stranger_and_is_named_to_a_person(
    shared_desk: Desk,
) -> None:
    assert Browser(shared_desk).get("/nowhere").status_code == 303
    answer = shared_desk.client().get("/nowhere")

    assert answer.status_code == 404
    assert "/nowhere" in answer.text
    assert shared_desk.client().http.request("PUT", "/api/orders").status_code == 404


@pytest.mark.case("EVIDENCE-70")
@pytest.mark.parametrize(
    ("headers", "with_token"),
    [
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "https://attacker.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://127.0.0.1:9999"}, True),
        ({}, False),
    ],
)
def test_a_stop_from_a_foreign_page_or_without_the_form_token_is_refused(
    desk: Desk, headers: dict[str, str], with_token: bool
) -> None:
    fields = {"rung": "halt", "scope": "firm:firm", "key": "k" * 20}

    answer = desk.client().post_form("/stop", fields, with_token=with_token, **headers)

    assert answer.status_code == 403
    assert desk.gate.acts("set_state") == []


def test_the_form_token_of_another_session_is_refused(desk: Desk) -> None:
    mine, other = desk.client(), desk.client("risk-officer")
    mine.token = other.token

    answer = mine.post_form("/stop", {"rung": "halt", "scope": "firm:firm", "key": "k" * 20})

    assert answer.status_code == 403
    assert "form-token" in answer.text


def test_nothing_changes_by_a_get(shared_desk: Desk) -> None:
    operator = shared_desk.client()

    for method, path in DOORS:
        if method == "POST" and ("GET", path) not in DOORS:
            assert operator.get(example(path)).status_code == 404, path


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example", ""])
def test_a_name_that_is_not_ours_is_not_answered(shared_desk: Desk, host: str) -> None:
    answer = shared_desk.client().get("/", host=host)

    assert answer.status_code in (400, 421)


def test_every_answer_forbids_foreign_content_frames_and_guessing_of_types(shared_desk: Desk) -> None:
    operator = shared_desk.client()

    for path in ("/", "/sign-in", "/nowhere", "/api/status", "/static/x/app.css", "/metrics"):
        headers = operator.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert "*" not in policy, path
    assert operator.get("/").headers["cache-control"] == "no-store"


def test_the_cookie_is_strict_and_out_of_reach_of_scripts(shared_desk: Desk) -> None:
    fields = {"name": "operator", "password": shared_desk.passwords["operator"], "next": "/orders"}

    answer = Browser(shared_desk).post_form("/sign-in", fields, with_token=False)
    cookie = answer.headers["set-cookie"]

    assert (answer.status_code, answer.headers["location"]) == (303, "/orders")
    assert cookie.startswith("controlplane_loopback=")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))


def test_away_from_loopback_the_cookie_is_bound_to_the_host_and_to_tls(shared_desk: Desk) -> None:
    from controlplane.identity.guard import cookie_header, cookie_name, secret_of

    cookie = cookie_header("s" * 43, host="risk.example", seconds=60)

    assert cookie.startswith("__Host-controlplane=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert secret_of({"cookie": f"{cookie_name('127.0.0.1')}=abc"}, "risk.example") == ""


@pytest.mark.parametrize("wanted", ["https://other.example/", "//other.example", "/\\other.example", "javascript:x"])
def test_signing_in_never_leads_to_another_site(shared_desk: Desk, wanted: str) -> None:
    fields = {"name": "operator", "password": shared_desk.passwords["operator"], "next": wanted}

    answer = Browser(shared_desk).post_form("/sign-in", fields, with_token=False)

    assert answer.headers["location"] == "/"


def test_a_wrong_password_is_answered_with_401_and_after_many_with_429_and_a_time(desk: Desk) -> None:
    stranger = Browser(desk)
    fields = {"name": "operator", "password": "wrong", "next": "/"}

    first = stranger.post_form("/sign-in", fields, with_token=False)
    for _ in range(9):
        stranger.http.request("POST", "/api/session", json={"name": "operator", "password": "wrong"})
    last = stranger.http.request("POST", "/api/session", json={"name": "operator", "password": "wrong"})

    assert first.status_code == 401
    assert "belong together" in first.text
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) > 0
    assert last.json()["detail"].startswith("Too many wrong passwords")


def test_signing_out_ends_the_session_on_the_server(desk: Desk) -> None:
    operator = desk.client()
    kept = dict(operator.http.cookies)

    assert operator.post_form("/sign-out", {}).status_code == 303
    operator.http.cookies.update(kept)

    assert operator.get("/").status_code == 303


def test_measurements_are_for_this_machine_and_for_people_who_signed_in(shared_desk: Desk) -> None:
    assert Browser(shared_desk).get("/metrics").status_code == 200
    assert Browser(shared_desk).get("/metrics", **{"x-forwarded-for": "192.0.2.1"}).status_code == 401
    assert shared_desk.client().get("/metrics", **{"x-forwarded-for": "192.0.2.1"}).status_code == 200


def test_requests_are_timed_by_their_pattern_never_by_their_address(shared_desk: Desk) -> None:
    operator = shared_desk.client()
    operator.get("/orders/00000000000000ab")
    operator.get("/never-seen-before")

    text = operator.get("/metrics").text

    assert 'cp_http_request_seconds_count{method="GET",route="/orders/{parent_id}",status="404"}' in text
    assert "00000000000000ab" not in text
    assert "never-seen-before" not in text


def test_measurements_hold_the_gates_own_families_once_and_none_while_it_is_silent(desk: Desk) -> None:
    text = Browser(desk).get("/metrics").text
    desk.gate.is_away = True

    silent = Browser(desk).get("/metrics").text

    assert 'cp_gate_decisions_total{code="ORDER_QUANTITY_ABOVE_LIMIT",outcome="denied"} 9.0' in text
    assert text.count("# TYPE cp_gate_decisions_total counter") == 1
    assert text.count("# TYPE cp_http_request_seconds histogram") == 1
    assert "cp_gate_" not in silent
    assert "# TYPE cp_http_request_seconds histogram" in silent


def test_a_websocket_is_closed_before_anything_looks_at_it(shared_desk: Desk) -> None:
    import anyio

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/live", "headers": [], "query_string": b""}
    anyio.run(shared_desk.app, scope, receive, send)

    assert [message["type"] for message in sent] == ["websocket.close"]
