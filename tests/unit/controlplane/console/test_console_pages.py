"""Every page: it opens, says the same as its JSON twin, and carries nothing a strict content policy would stop."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from controlplane.console.pages.child import NOT_CHECKS
from controlplane.console.pages.guide import TOPICS
from controlplane.console.render import Renderer
from controlplane.console.routes import PAGES
from controlplane.domain.decisions import DenialCode
from tests.support.console import Desk
from tests.support.console_pages import page_addresses

VOID = {"input", "meta", "link", "br", "hr", "img"}


def addresses(desk: Desk) -> dict[str, str]:
    """One address of every page of the sitemap, by its pattern."""
    by_name = page_addresses(desk)
    names = ("situation", "orders", "block", "child", "limits", "decisions", "decision", "stop", "guide")
    return {door.path: by_name[name] for door, name in zip(PAGES, names, strict=True)}


class Elements(HTMLParser):
    """Every start tag with its attributes, and whether the nesting is whole."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Elements:
    elements = Elements()
    elements.feed(html)
    return elements


def test_every_page_of_the_sitemap_opens(shared_desk: Desk) -> None:
    operator = shared_desk.client()
    assert set(addresses(shared_desk)) == {door.path for door in PAGES}

    for path in addresses(shared_desk).values():
        answer = operator.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:400]}"
        assert parsed(answer.text).faults == [], path


@pytest.mark.case("U15")
def test_every_page_names_its_environment_in_title_and_bar_and_carries_stop_skip_link_and_help(
    shared_desk: Desk,
) -> None:
    operator = shared_desk.client()

    for path in addresses(shared_desk).values():
        html = operator.get(path).text
        assert re.search(r"<title>[^<]* · SIMULATION · ", html), path
        assert 'class="environment"' in html, path
        assert re.search(r'<a class="stop-link" href="/stop\?scope=', html), path
        assert html.index('class="skip"') < html.index("<header"), path
        assert "controlplane kill" in html, path


@pytest.mark.case("U32")
def test_every_page_names_a_guide_entry_that_exists(shared_desk: Desk, repository: object) -> None:
    from pathlib import Path

    operator = shared_desk.client()
    keys = {topic.key for topic in TOPICS}

    for path in addresses(shared_desk).values():
        (anchor,) = re.findall(r'href="/help#([a-z-]+)">Help for this page', operator.get(path).text)
        assert anchor in keys, path
    guides = Path(str(repository)) / "docs" / "guides"
    for topic in TOPICS:
        text = (guides / f"{topic.guide}.md").read_text(encoding="utf-8")
        assert re.search(rf"^## {re.escape(topic.title)}$", text, re.MULTILINE), f"{topic.guide}.md lacks {topic.title}"


@pytest.mark.case("U30")
def test_no_page_carries_inline_script_style_or_a_reference_to_another_host(shared_desk: Desk) -> None:
    operator = shared_desk.client()

    for path in [*addresses(shared_desk).values(), "/sign-in", "/nowhere"]:
        html = operator.get(path).text
        for tag, attributes in parsed(html).found:
            assert tag != "style", path
            assert tag != "script" or attributes.get("src"), path
            for name, value in attributes.items():
                assert name != "style", f"{path}: style on {tag}"
                assert not name.startswith(("on", "hx-on")), f"{path}: {name} on {tag}"
                if name in ("href", "src", "action", "data", "poster", "xlink:href"):
                    assert not re.match(r"(?i)[a-z]+:|//", value or ""), f"{path}: {value}"
        assert not re.search(r"<script[^>]*>[^<]", html), path


@pytest.mark.case("U16")
def test_ten_facts_read_the_same_on_page_and_in_its_json_twin(shared_desk: Desk) -> None:
    operator, checked = shared_desk.client(), 0
    facts_of = {
        "/orders/{parent_id}": (
            "progress",
            ("filled", "ordered", "working", "average_price", "slippage", "limit_price"),
        ),
        "/orders/{parent_id}/children/{child_id}": ("terms", ("quantity", "filled", "price", "order_type", "asked")),
    }

    for pattern, (panel, names) in facts_of.items():
        path = addresses(shared_desk)[pattern]
        text = " ".join(" ".join(parsed(operator.get(path).text).text).split())
        twin = operator.get(f"{path}.json").json()["panels"][panel]["facts"]
        for name in names:
            assert twin[name] in text, f"{name} of {path}: {twin[name]}"
            checked += 1

    assert checked >= 10


def test_the_json_twin_of_every_page_holds_its_panels_with_state_and_time(shared_desk: Desk) -> None:
    operator = shared_desk.client()

    for path in addresses(shared_desk).values():
        base, _, query = path.partition("?")
        answer = operator.get(f"{base}.json?{query}")
        assert answer.headers["content-type"] == "application/json", path
        body = answer.json()
        assert body["environment"] == "SIMULATION", path
        for panel in body["panels"].values():
            assert panel["state"] in {"loaded", "empty"}, f"{path}: {panel}"


@pytest.mark.case("U31")
def test_tables_have_captions_scoped_headings_and_numbers_to_the_right(shared_desk: Desk) -> None:
    operator, tables = shared_desk.client(), 0

    for path in addresses(shared_desk).values():
        html = operator.get(path).text
        for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
            tables += 1
            assert "<caption" in table, path
            assert all('scope="' in heading for heading in re.findall(r"<th(?=[ >])[^>]*>", table)), path
            numeric = re.findall(r'<td(?: class="([^"]*)")?>\s*[+−-]?[0-9][0-9,]*\.[0-9]+(?:\s|<)', table)
            assert all("num" in (cell or "") for cell in numeric), f"{path}: {table[:200]}"
    assert tables >= 8


@pytest.mark.case("U6")
@pytest.mark.case("U5")
def test_every_stop_button_says_verb_scope_and_count_and_lies_in_no_live_region(shared_desk: Desk) -> None:
    html = shared_desk.client().get("/stop?scope=desk%3Acrypto").text
    buttons = re.findall(r'<button type="submit" class="stop-button.*?</button>', html, re.DOTALL)
    words = [unescape(" ".join(re.sub(r"<[^>]+>", " ", button).split())) for button in buttons]

    assert words == [
        "Pause desk crypto block new and amends, keep 3 working",
        "Reduce only desk crypto block what adds, 3 working, cancel those that add",
        "Halt desk crypto block new, cancel 3 working",
        "Kill desk crypto block new, cancel 3 working",
        "Halt the firm block new, cancel 3 working",
        "Kill the firm throw the machine's switch, void every permit, cancel 3 working",
    ]
    for panel in re.findall(r"<section[^>]*data-panel.*?</section>", html, re.DOTALL):
        assert "stop-button" not in panel
    for form in re.findall(r'<form method="post" action="/stop".*?</form>', html, re.DOTALL):
        assert "hx-" not in form


@pytest.mark.case("U18")
def test_filters_stand_in_the_address_and_give_the_same_rows_elsewhere(shared_desk: Desk) -> None:
    path = "/orders?state=running&sort=behind"

    mine = shared_desk.client().get(path.replace("?", ".json?")).json()
    other = shared_desk.client("risk-officer").get(path.replace("?", ".json?")).json()

    rows = [row["parent_id"] for row in mine["panels"]["orders"]["facts"]["rows"]]
    assert rows == [row["parent_id"] for row in other["panels"]["orders"]["facts"]["rows"]]
    assert len(rows) == 2
    assert "state=running" in mine["path"]
    assert "sort=behind" in mine["path"]


def test_a_child_page_shows_eighteen_steps_with_the_permit_and_the_checks(shared_desk: Desk) -> None:
    html = shared_desk.client().get(addresses(shared_desk)["/orders/{parent_id}/children/{child_id}"]).text

    assert len(re.findall(r'<li class="step ', html)) == 18
    assert "Permit for this order only" in html
    checks = len(DenialCode) - len(NOT_CHECKS)
    assert f"{checks} of {checks} checks clear" in html
    assert "filled 7.00 ETH at" in html


def test_what_needs_somebody_stands_worst_first_each_with_its_next_action(desk: Desk) -> None:
    desk.gate.rows[0] |= {"is_unknown": True}
    desk.gate.states["desk:crypto"] = {
        "scope": "desk:crypto",
        "state": "HALTED",
        "reason": "feeds",
        "by": "operator",
        "since_ns": 1,
    }
    desk.poll()

    rows = desk.client().get("/.json").json()["panels"]["attention"]["facts"]["rows"]

    assert [row["mark"]["sign"] for row in rows] == ["stopped", "unknown", "unknown", "caution"]
    assert all(row["action"] and row["href"].startswith("/") for row in rows)


def test_when_nothing_is_abnormal_the_situation_says_so_in_one_calm_sentence(desk: Desk) -> None:
    desk.gate.rows = [row for row in desk.gate.rows if not row["is_near"]]
    with desk.app.state.sources.supervision.reading() as book:
        book.children.clear()
    desk.poll()

    html = desk.client().get("/").text

    assert "Nothing needs you" in html


@pytest.mark.case("U14")
def test_a_gate_that_is_silent_and_data_that_is_old_are_shown_as_such_never_as_normal(desk: Desk) -> None:
    desk.gate.is_away = True
    desk.poll()
    status = desk.app.state.sources.readings
    with status._lock:
        from dataclasses import replace

        for subject, reading in status._readings.items():
            status._readings[subject] = replace(reading, as_of_ns=reading.as_of_ns - 60 * 10**9)

    operator = desk.client()
    html, twin = operator.get("/").text, operator.get("/.json").json()

    assert twin["panels"]["tightest"]["state"] == "stale"
    assert twin["panels"]["attention"]["facts"]["rows"][0]["what"] == "The gate doesn't answer"
    assert 'data-sign="unknown"' in html
    assert "expected every 1 s" in html


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orders/nothing", 422),
        ("/orders/00000000000000ff", 404),
        ("/orders/00000000000000ff/children/00000000000000ee", 404),
        ("/decisions/gate-0.99999", 404),
        ("/decisions/gate-0.1", 404),
        ("/decisions/none", 422),
        ("/stop?scope=colour:red", 200),
        ("/stop?stop=nothing", 200),
        ("/limits?standing=purple", 200),
        ("/orders?sort=upwards", 200),
        ("/decisions?outcome=maybe", 200),
        ("/decisions?from=yesterday", 200),
        ("/decisions?order=zz", 200),
        ("/decisions?before=x", 200),
        ("/decisions?from=99999-01-01", 200),
        ("/orders/" + "a" * 3000, 422),
    ],
)
def test_a_bad_address_gets_one_sentence_and_never_a_500(shared_desk: Desk, path: str, status: int) -> None:
    answer = shared_desk.client().get(path)

    assert answer.status_code == status, answer.text[:300]
    assert "Traceback" not in answer.text


def test_facts_from_outside_are_escaped(desk: Desk) -> None:
    desk.day.parent(reference="<script>alert(1)</script>")
    desk.poll()
    operator = desk.client()

    html = operator.get("/orders").text

    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html
    evil = operator.get("/orders?instrument=%22%3E%3Cscript%3Ex").text
    assert "<script>x" not in evil


def test_one_line_of_json_per_page_is_json(shared_desk: Desk) -> None:
    body = shared_desk.client().get("/stop.json?scope=desk%3Acrypto").text

    assert json.loads(body)["facts"]["scope"] == "desk:crypto"


@pytest.mark.case("U15")
def test_live_differs_from_simulation_by_word_bar_and_title() -> None:
    simulation, live = (
        Renderer(environment=environment, asset_digest="x", kill_command="controlplane kill").plain(
            "sign_in", wanted="/", error=""
        )
        for environment in ("SIMULATION", "LIVE")
    )

    assert "<title>Sign in · LIVE · " in live
    assert "<title>Sign in · SIMULATION · " in simulation
    assert 'class="environment-live' in live
    assert "orders reach real venues" in live
    assert "no order reaches a real venue" in simulation
