"""The console in a real Chromium: from a block to a child's eighteen steps, stopping, and what holds when things go."""

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect, sync_playwright

from tests.support.browser import NARROW, PHONE, WIDE, Window, keep_screenshot, sign_in, width_overflow, window
from tests.support.console import Desk, SwitchableDatabase, make_desk, served
from tests.support.console_pages import page_addresses
from tests.support.proxy import wire_to

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    """Those of the accounts in this module's database, kept from the first desk on."""
    return {}


@pytest.fixture
def desk(database_dsn: str, tmp_path: Path, passwords: dict[str, str]) -> Iterator[Desk]:
    with SwitchableDatabase(database_dsn, connections_max=6) as database:
        made = make_desk(database, tmp_path, passwords=passwords)
        passwords.update(made.passwords)
        yield made


@pytest.fixture
def url(desk: Desk) -> Iterator[str]:
    with served(desk.app) as address:
        yield address


@pytest.fixture
def operator(playwright: Playwright, desk: Desk, url: str) -> Iterator[Window]:
    """A wide window in which the operator is signed in; afterwards nothing may have failed or gone elsewhere."""
    with window(playwright) as opened:
        sign_in(opened.page, url, "operator", desk.passwords["operator"])
        yield opened
        assert opened.faults == []
        assert opened.foreign == []


def wait_live(page: Page) -> None:
    expect(page.locator("#connection-word")).to_have_text("live")


def follow_to_a_child(page: Page, url: str, state: str) -> None:
    """From the list of blocks to one child in this state, by pressing links alone."""
    page.goto(f"{url}/orders")
    page.get_by_role("link", name="Buy ETH-PERP").click()
    word = page.locator(".word", has_text=re.compile(f"^{state}$"))
    page.locator(".panel-of-children tbody tr").filter(has=word).first.locator("th a").click()


def test_one_block_is_followed_from_the_list_to_one_childs_eighteen_steps(operator: Window, url: str) -> None:
    page = operator.page

    follow_to_a_child(page, url, "filled")

    steps = page.locator("ol.trail > li")
    expect(steps).to_have_count(18)
    expect(steps.nth(0)).to_contain_text("Block order is accepted")
    expect(steps.nth(7)).to_contain_text("allowed: no check failed")
    expect(steps.nth(10)).to_contain_text("Permit for this order only")
    expect(steps.nth(11)).to_contain_text("Permit is verified and spent")
    expect(steps.nth(13)).to_contain_text("filled 7.00 ETH at")
    expect(steps.nth(17)).to_contain_text("Shown here")
    page.get_by_role("link", name="gate-0.").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("allowed")


def test_a_denied_child_stops_at_step_eight_with_the_largest_quantity_that_passes(operator: Window, url: str) -> None:
    page = operator.page

    follow_to_a_child(page, url, "denied")

    expect(page.locator("#step-8")).to_contain_text("stopped here")
    expect(page.locator("#step-8")).to_contain_text("250.00 ETH")
    expect(page.locator("#step-12")).to_contain_text("not reached")


@pytest.mark.case("U1")
@pytest.mark.case("U3")
def test_stop_is_two_presses_from_a_block_and_shows_blocked_within_a_second(
    operator: Window, desk: Desk, url: str
) -> None:
    page = operator.page
    page.goto(f"{url}/orders")
    page.get_by_role("link", name="Buy ETH-PERP").click()
    wait_live(page)

    page.get_by_role("link", name="Stop", exact=True).click()
    button = page.get_by_role("button", name="Halt block")
    expect(button).to_contain_text("cancel 3 working")
    pressed = time.monotonic()
    button.click()
    expect(page.locator("#panel-result")).to_contain_text("Gate blocked")
    expect(page.locator("#panel-result .sign-stopped")).to_contain_text("blocked")

    assert time.monotonic() - pressed < 3  # one second on a quiet machine; this one may be busy
    (scope,) = desk.gate.states
    assert scope.startswith("parent:")
    desk.gate.working.clear()
    desk.poll()
    expect(page.locator("#panel-result")).to_contain_text("Nothing working in this scope")


@pytest.mark.case("U2")
def test_stop_works_with_scripts_off(playwright: Playwright, desk: Desk, url: str) -> None:
    with window(playwright, has_scripts=False) as opened:
        page = opened.page
        sign_in(page, url, "operator", desk.passwords["operator"])
        expect(page.locator("#connection-word")).to_have_text("not live")
        page.goto(f"{url}/stop?scope=desk:crypto")

        page.get_by_role("button", name="Pause desk crypto").click()

        expect(page.locator("#panel-result")).to_contain_text("Gate blocked")
        page.get_by_label("Precaution, nothing found yet").check()
        page.get_by_role("button", name="Keep the reason").click()
        expect(page.locator("#reason")).to_contain_text("Precaution, nothing found yet")
    assert desk.gate.states["desk:crypto"]["state"] == "PAUSED"


@pytest.mark.case("U2")
@pytest.mark.case("U13")
@pytest.mark.parametrize("way", ["cut", "frozen"])
def test_a_lost_live_connection_marks_the_page_within_five_seconds_and_stop_works_all_the_same(
    playwright: Playwright, desk: Desk, url: str, way: str
) -> None:
    with wire_to(url) as (wire, near), window(playwright) as opened:
        page = opened.page
        sign_in(page, near, "operator", desk.passwords["operator"])
        page.goto(f"{near}/stop?scope=desk:crypto")
        wait_live(page)
        started = time.monotonic()
        if way == "cut":
            wire.cut()
        else:
            wire.is_frozen = True

        expect(page.locator("#away")).to_be_visible(timeout=5_500)
        assert time.monotonic() - started < 5.5
        expect(page.locator("#connection .sign")).to_have_class("sign sign-offline sign-unknown")
        wire.mend()
        page.get_by_role("button", name="Halt desk crypto").click()

        expect(page.locator("#panel-result")).to_contain_text("Gate blocked")
    assert desk.gate.states["desk:crypto"]["state"] == "HALTED"


@pytest.mark.case("U13")
def test_a_page_that_was_cut_off_is_brought_up_to_date_before_it_unmarks(
    playwright: Playwright, desk: Desk, url: str
) -> None:
    with wire_to(url) as (wire, near), window(playwright) as opened:
        page = opened.page
        sign_in(page, near, "operator", desk.passwords["operator"])
        page.goto(f"{near}/limits")
        wait_live(page)
        wire.cut()
        expect(page.locator("body")).to_have_class("environment-simulation is-away", timeout=6_000)
        desk.gate.rows[0]["limit"] = "renamed_while_away"
        time.sleep(1.5)

        wire.mend()

        expect(page.locator("body")).to_have_class("environment-simulation", timeout=10_000)
        assert "renamed while away" in page.locator("#panel-limits").inner_text()


@pytest.mark.case("U2")
def test_with_the_database_down_a_signed_in_person_can_still_stop(operator: Window, desk: Desk, url: str) -> None:
    page = operator.page
    page.goto(f"{url}/stop?scope=desk:crypto")
    desk.go_away()

    page.get_by_role("button", name="Halt desk crypto").click()

    expect(page.locator("#panel-result")).to_contain_text("Gate blocked")
    expect(page.locator(".frame-strip")).to_contain_text("database away: only Stop works")
    page.get_by_label("or in your words").fill("feeds look wrong")
    page.get_by_role("button", name="Keep the reason").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing but stopping is possible")


@pytest.mark.case("U7")
def test_a_halt_is_lifted_by_two_people_in_two_browsers(
    playwright: Playwright, operator: Window, desk: Desk, url: str
) -> None:
    page = operator.page
    page.goto(f"{url}/stop?scope=desk:crypto")
    page.get_by_role("button", name="Halt desk crypto").click()
    page.locator("#lift input[name=reason]").fill("found and fixed, prices fresh")
    page.get_by_role("button", name="Ask to lift desk crypto").click()
    expect(page.locator("#lift")).to_contain_text("somebody else has to confirm")

    with window(playwright) as second:
        sign_in(second.page, url, "risk-officer", desk.passwords["risk-officer"])
        second.page.goto(f"{url}/stop?scope=desk:crypto")
        second.page.locator("input[name=typed_scope]").fill("desk:crypto")
        second.page.get_by_role("button", name="Lift desk crypto").click()
        expect(second.page.locator("#panel-stopped")).to_contain_text("Nothing is stopped.")

    assert desk.gate.states == {}


@pytest.mark.case("U24")
def test_live_updates_move_no_focus_no_scroll_and_no_row_under_the_pointer(
    operator: Window, desk: Desk, url: str
) -> None:
    page = operator.page
    page.goto(f"{url}/orders")
    wait_live(page)
    row = page.locator("#panel-orders tbody tr").first
    row.hover()
    page.locator("select[name=state]").focus()
    before = row.inner_text()

    desk.day.parent(reference="newly-arrived")
    expect(page.locator("#panel-orders")).to_have_attribute("data-held", "")
    assert row.inner_text() == before
    page.mouse.move(5, 400)

    expect(page.locator("#panel-orders")).to_contain_text("newly-arrived")
    assert page.evaluate("document.activeElement.name") == "state"
    assert page.evaluate("window.scrollY") == 0


@pytest.mark.case("U24")
def test_a_halt_of_the_firm_is_announced_at_once_and_shown_on_every_open_page(
    operator: Window, desk: Desk, url: str
) -> None:
    page = operator.page
    page.goto(f"{url}/help")
    wait_live(page)
    expect(page.locator("#said-at-once")).to_be_empty()

    desk.gate.control("set_state", scope="firm:firm", state="HALTED", reason="r", by="risk-officer")

    expect(page.locator("#said-at-once")).to_have_text("The firm is halted.", timeout=5_000)
    expect(page.locator("#firm-state")).to_have_attribute("data-sign", "stopped")


@pytest.mark.case("U5")
@pytest.mark.case("U22")
def test_stop_buttons_are_large_apart_from_each_other_and_do_not_move_after_the_first_paint(
    operator: Window, desk: Desk, url: str
) -> None:
    page = operator.page
    page.goto(f"{url}/stop?scope=desk:crypto")
    first = boxes(page)
    wait_live(page)
    desk.gate.working.clear()
    expect(page.locator("[data-count-of=scope]").first).to_have_text("0")

    assert boxes(page) == first
    assert all(height >= 44 and width >= 44 for _, _, width, height in first)
    for column in ([row for row in first if row[0] == left] for left in {row[0] for row in first}):
        ordered = sorted(column, key=lambda row: row[1])
        gaps = [below[1] - (above[1] + above[3]) for above, below in itertools.pairwise(ordered)]
        assert all(gap >= 24 for gap in gaps), gaps


def boxes(page: Page) -> list[tuple[float, float, float, float]]:
    found = [button.bounding_box() for button in page.locator(".stop-button").all()]
    return [(box["x"], box["y"], box["width"], box["height"]) for box in found if box is not None]


@pytest.mark.case("U1")
def test_stop_is_two_key_strokes_after_the_skip_link(operator: Window, url: str) -> None:
    page = operator.page
    page.goto(f"{url}/limits")
    reached: list[str] = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(str(page.evaluate("document.activeElement.textContent.trim()")))

    assert reached[0] == "Skip to content"
    assert "Stop" in reached[:4]


@pytest.mark.case("U26")
@pytest.mark.parametrize("size", [WIDE, PHONE, NARROW], ids=["wide", "phone", "narrow"])
def test_every_page_fits_its_window_and_keeps_stop_in_sight(
    playwright: Playwright, desk: Desk, url: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    with window(playwright, size=size, reduced_motion=True) as opened:
        page = opened.page
        sign_in(page, url, "operator", desk.passwords["operator"])
        for name, address in page_addresses(desk).items():
            page.goto(f"{url}{address}")
            wait_live(page)
            picture = keep_screenshot(page, tmp_path, name)
            assert picture.stat().st_size > 10_000
            assert width_overflow(page) <= 0, name
            expect(page.get_by_role("link", name="Stop", exact=True)).to_be_in_viewport()
        assert opened.faults == []
        assert opened.foreign == []


@pytest.mark.case("U28")
def test_the_chart_is_drawn_from_the_same_numbers_as_the_plain_drawing(operator: Window, url: str) -> None:
    page = operator.page
    page.goto(f"{url}/orders")
    page.get_by_role("link", name="Buy ETH-PERP").click()

    expect(page.locator(".chart")).to_have_class("chart is-drawn")
    expect(page.locator(".chart canvas")).to_be_visible()
    expect(page.locator(".chart-words")).to_contain_text("194.00 ETH of 500.00 ETH filled")
    summary = page.locator(".chart").get_attribute("aria-label")
    assert summary == page.locator(".chart-words").inner_text()
