"""The stop form: one press, whatever else is down; the reason afterwards; the lift by two people."""

import re
import time
from html import unescape

import pytest

from controlplane.domain.clock import NS_PER_S
from controlplane.supervision.service import Following
from tests.support.console import Browser, Desk
from tests.support.console_pages import page_addresses


def stop_fields(html: str, rung: str, scope: str = "desk:crypto") -> dict[str, str]:
    """The fields of the form of one button, as a browser would send them."""
    for form in re.findall(r"<form method=\"post\" action=\"/stop\".*?</form>", html, re.DOTALL):
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        if (fields["rung"], fields["scope"]) == (rung, scope):
            fields.pop("form_token")
            return fields
    raise AssertionError(f"the page has no button for {rung} of {scope}")


def press(browser: Browser, rung: str = "halt", scope: str = "desk:crypto") -> str:
    """Press a button of the page and return the address that the browser is led to."""
    page = browser.get(f"/stop?scope={scope}").text
    answer = browser.post_form("/stop", stop_fields(page, rung, scope))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def text_of(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", html).split()))


@pytest.mark.case("U1")
@pytest.mark.case("U4")
def test_one_press_blocks_and_shows_what_it_did_counted_apart(desk: Desk) -> None:
    operator = desk.client()

    shown = text_of(operator.get(press(operator).partition("#")[0]).text)

    assert desk.gate.states["desk:crypto"]["state"] == "HALTED"
    for words in (
        "Halt desk crypto , pressed by operator",
        "Gate blocked",
        "blocked gate-0 at",
        "Cancel sent 0 of 3",
        "Confirmed 0 of 3",
        "Still working 3",
        "Filled before cancel 0",
    ):
        assert words in shown, words


def test_the_result_ends_in_nothing_working_when_every_order_is_confirmed(desk: Desk) -> None:
    from controlplane.domain.reports import ReportKind

    operator = desk.client()
    location = press(operator).partition("#")[0]
    for row in desk.gate.working:
        desk.day.report(str(row["parent_id"]), str(row["child_id"]), ReportKind.CANCELLED)
    desk.gate.working.clear()
    desk.poll()

    shown = text_of(operator.get(location).text)

    assert "Confirmed 3 of 3" in shown
    assert "Nothing working in this scope" in shown


@pytest.mark.case("U9")
def test_the_same_form_sent_twice_has_one_effect(desk: Desk) -> None:
    operator = desk.client()
    fields = stop_fields(operator.get("/stop?scope=desk:crypto").text, "halt")

    first = operator.post_form("/stop", fields).headers["location"]
    second = operator.post_form("/stop", fields).headers["location"]

    assert first == second
    assert len(desk.gate.acts("set_state")) == 1


@pytest.mark.case("U2")
def test_with_the_database_away_a_signed_in_person_can_stop_and_change_nothing_else(desk: Desk) -> None:
    operator = desk.client()
    stop_id = re.findall(r"stop=(\w+)", press(operator, "pause"))[0]
    desk.go_away()

    page = operator.get("/stop?scope=desk:crypto")
    location = press(operator, "halt")

    assert page.status_code == 200
    assert "only Stop works" in text_of(page.text)
    assert desk.gate.states["desk:crypto"]["state"] == "HALTED"
    assert operator.get(location.partition("#")[0]).status_code == 200
    for path, fields in (
        ("/stop/reason", {"stop_id": stop_id, "reason": "feeds look wrong"}),
        ("/stop/lift", {"scope": "desk:crypto", "reason": "found and fixed", "key": "k" * 20}),
        ("/stop/resume", {"scope": "desk:crypto", "reason": "found and fixed", "key": "k" * 20}),
        ("/stop/lift/confirm", {"lift_id": "x", "typed_scope": "desk:crypto"}),
        ("/stop/lift/withdraw", {"lift_id": "x"}),
    ):
        answer = operator.post_form(path, fields)
        assert answer.status_code == 503, path
        assert "nothing but stopping is possible" in answer.text, path


@pytest.mark.case("U2")
def test_a_database_that_is_frozen_rather_than_gone_holds_up_neither_the_stop_page_nor_the_stop(desk: Desk) -> None:
    operator = desk.client()
    desk.database.freeze()
    try:
        started = time.monotonic()
        press(operator)
        took = time.monotonic() - started
    finally:
        desk.database.come_back()

    assert took < 2
    assert desk.gate.states["desk:crypto"]["state"] == "HALTED"


def test_a_record_that_is_read_late_counts_as_a_database_that_is_away() -> None:
    following = Following(read_ns=10 * NS_PER_S)

    assert following.is_up(14 * NS_PER_S)
    assert not following.is_up(15 * NS_PER_S)
    assert not Following(read_ns=10 * NS_PER_S, error="gone").is_up(10 * NS_PER_S)


def test_with_the_database_away_pages_show_what_is_in_memory_and_say_that_it_is_old(desk: Desk) -> None:
    operator = desk.client()
    desk.go_away()

    html = text_of(operator.get("/").text)
    twin = operator.get("/orders.json").json()["panels"]["orders"]

    assert "The database doesn't answer" in html
    assert twin["state"] in {"error", "stale"}
    assert twin["facts"]["all"] == 3


def test_with_the_database_away_for_a_minute_every_page_still_opens_but_a_single_decision(desk: Desk) -> None:
    from dataclasses import replace

    operator, addresses = desk.client(), page_addresses(desk)
    desk.go_away()
    supervision = desk.app.state.sources.supervision
    supervision.following = replace(supervision.following, read_ns=supervision.following.read_ns - 60 * NS_PER_S)
    with supervision.reading() as book:
        addresses |= {key: f"/orders/{key}" for key in book.parents}

    answers = {name: operator.get(path).status_code for name, path in addresses.items()}

    assert answers.pop("decision") == 503
    assert set(answers.values()) == {200}


def test_with_the_database_away_a_person_this_process_does_not_know_is_shown_the_shell_command(desk: Desk) -> None:
    from controlplane.identity.people import digest_of

    operator = desk.client()
    secret = dict(operator.http.cookies)["controlplane_loopback"]
    desk.app.state.identity.book._sessions.pop(digest_of(secret))
    desk.go_away()

    answer = operator.get("/stop")

    assert answer.status_code == 503
    assert "controlplane kill" in answer.text


def test_signing_in_with_the_database_away_gets_one_sentence(desk: Desk) -> None:
    desk.go_away()
    fields = {"name": "operator", "password": desk.passwords["operator"], "next": "/"}

    answer = Browser(desk).post_form("/sign-in", fields, with_token=False)

    assert answer.status_code == 503
    assert "Expected PostgreSQL to answer" in text_of(answer.text)


def test_a_stop_works_although_the_journal_is_full(desk: Desk) -> None:
    operator = desk.client()
    desk.recorded.is_full = True

    press(operator)

    assert desk.gate.states["desk:crypto"]["state"] == "HALTED"


def test_with_the_gate_away_the_page_says_what_holds_and_kill_throws_the_switch_file(desk: Desk) -> None:
    from controlplane.gate.switch import Switch

    gate_directory = desk.state_directory / "gate"
    gate_directory.mkdir(mode=0o700)
    Switch.start(gate_directory, is_first_start=True).close()
    operator = desk.client()
    page = operator.get("/stop?scope=firm:firm").text
    desk.gate.is_away = True

    halt = operator.post_form("/stop", stop_fields(page, "halt", "firm:firm"))
    kill = operator.post_form("/stop", stop_fields(page, "kill", "firm:firm"))

    assert halt.status_code == 503
    assert "no new order can leave" in text_of(halt.text)
    assert kill.status_code == 303
    with Switch.open(gate_directory) as switch:
        assert not switch.is_armed()
        assert switch.last_change().by == "operator"


@pytest.mark.case("U7")
def test_a_lift_takes_two_accounts_through_the_page(desk: Desk) -> None:
    operator, officer = desk.client(), desk.client("risk-officer")
    press(operator)
    page = operator.get("/stop?scope=desk:crypto").text
    key = re.findall(r'action="/stop/lift".*?name="key" value="([^"]+)"', page, re.DOTALL)[0]
    operator.post_form("/stop/lift", {"scope": "desk:crypto", "reason": "found and fixed", "key": key})
    own, theirs = operator.get("/stop?scope=desk:crypto").text, officer.get("/stop?scope=desk:crypto").text
    (lift_id,) = re.findall(r'action="/stop/lift/confirm".*?name="lift_id" value="([^"]+)"', theirs, re.DOTALL)

    alone = operator.post_form("/stop/lift/confirm", {"lift_id": lift_id, "typed_scope": "desk:crypto"})
    mistyped = officer.post_form("/stop/lift/confirm", {"lift_id": lift_id, "typed_scope": "desk crypto"})
    together = officer.post_form("/stop/lift/confirm", {"lift_id": lift_id, "typed_scope": "desk:crypto"})

    assert "somebody else has to confirm" in text_of(own)
    assert "/stop/lift/confirm" not in own
    assert (alone.status_code, mistyped.status_code, together.status_code) == (403, 422, 303)
    assert "Expected a second person" in text_of(alone.text)
    assert desk.gate.states == {}
    assert desk.gate.acts("lift")[0]["by"] == "operator"
    assert desk.gate.acts("lift")[0]["second"] == "risk-officer"


def test_the_reason_is_asked_after_the_press_and_becomes_an_open_item(desk: Desk) -> None:
    from controlplane.halts.board import REASON_DUE_NS

    operator = desk.client()
    location = press(operator)
    stop_id = re.findall(r"stop=(\w+)", location)[0]
    board = desk.app.state.sources.halts.board
    from dataclasses import replace

    board.stops[stop_id] = replace(board.stops[stop_id], pressed_ns=board.stops[stop_id].pressed_ns - REASON_DUE_NS)
    owed = operator.get("/.json").json()["panels"]["attention"]["facts"]["rows"]
    answer = operator.post_form(
        "/stop/reason", {"stop_id": stop_id, "phrase": "Prices or feeds look wrong", "reason": ""}
    )

    assert any("A reason is missing" in row["what"] for row in owed)
    assert answer.status_code == 303
    assert "Prices or feeds look wrong" in operator.get("/stop").text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"rung": "halt", "scope": "desk:crypto"}, 422),
        ({"rung": "explode", "scope": "desk:crypto", "key": "k" * 20}, 422),
        ({"rung": "halt", "scope": "colour:red", "key": "k" * 20}, 422),
        ({"rung": "halt", "scope": "desk:crypto", "key": "short"}, 422),
        ({"rung": "halt", "scope": "desk:crypto", "key": "k" * 20, "extra": "1"}, 422),
        ({"rung": "halt", "scope": "desk:" + "x" * 3000, "key": "k" * 20}, 422),
    ],
)
def test_a_malformed_stop_form_is_refused_in_a_sentence_and_stops_nothing(
    desk: Desk, fields: dict[str, str], status: int
) -> None:
    answer = desk.client().post_form("/stop", fields)

    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert desk.gate.acts("set_state") == []


def test_a_form_with_a_field_twice_is_refused(desk: Desk) -> None:
    operator = desk.client()
    body = f"rung=halt&scope=desk:crypto&scope=firm:firm&key={'k' * 20}&form_token={operator.token}"

    answer = operator.http.request(
        "POST", "/stop", content=body.encode(), headers={"content-type": "application/x-www-form-urlencoded"}
    )

    assert answer.status_code == 422
    assert "found it twice" in answer.text
    assert desk.gate.acts("set_state") == []
