"""Every panel in its six states, and how a panel knows which one it is in."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from controlplane.console.panels import Page, Panel, PanelState
from controlplane.console.render import TEMPLATES, Renderer
from controlplane.console.routes import PAGES
from controlplane.console.sources import Visit
from controlplane.domain.clock import NS_PER_S
from controlplane.halts.authority import Rung
from controlplane.halts.once import make_key
from controlplane.halts.service import Press
from controlplane.identity.people import Person
from tests.support.console import Desk
from tests.support.console_pages import page_addresses

NOT_PANELS = {"panel"}  # the frame that the others extend
PARTS = sorted(path.stem for path in (TEMPLATES / "parts").glob("*.html") if path.stem not in NOT_PANELS)
# Neither has a heading: one is the strip in the top bar, the other only carries two numbers for the labels of buttons.
WITHOUT_HEADING = {"frame", "counts"}
NOW = 1_763_632_800 * NS_PER_S

RENDERER = Renderer(environment="SIMULATION", asset_digest="x", kill_command="controlplane kill")


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text_of(panel: Panel, now_ns: int) -> str:
    reader = Text()
    reader.feed(RENDERER.panel(panel, now_ns=now_ns, sequence=7))
    return " ".join(" ".join(reader.words).split())


def panels_of(desk: Desk) -> dict[str, Panel]:
    """One loaded panel of every part, from the pages themselves."""
    from controlplane.console.pages.frame import frame_panel

    sources = desk.app.state.sources
    stop = sources.halts.press(Press(Rung.HALT, "desk:crypto", "operator", make_key()))
    with sources.supervision.reading() as book:
        finished = next(key for key, parent in book.parents.items() if parent.tca is not None)
        paused = next(key for key, parent in book.parents.items() if parent.commands)
    found: dict[str, Panel] = {}
    paths = [*page_addresses(desk).values(), f"/orders/{finished}", f"/orders/{paused}", f"/stop?stop={stop.stop_id}"]
    for address in paths:
        path, _, query = address.partition("?")
        pairs = dict(pair.split("=") for pair in query.replace("%3A", ":").split("&") if pair)
        visit = Visit(path, pairs, Person("operator", "Operator"), sources.clock.wall_ns())
        for door in PAGES:
            parts = door.match(path)
            if parts is not None:
                page: Page = door.read(sources, visit, **parts)
                for panel in (*page.panels, frame_panel(sources, visit)):
                    if panel.name not in found or not panel.is_empty:
                        found[panel.name] = panel
                break
    return found


@pytest.mark.case("U29")
def test_every_part_renders_its_six_states_each_with_its_own_words(desk: Desk) -> None:
    found = panels_of(desk)
    assert sorted(found) == PARTS

    for name, panel in found.items():
        fresh = replace(panel, as_of_ns=NOW, interval_ns=NS_PER_S, error="", is_empty=False)
        assert fresh.facts is not None, name
        shown = {
            PanelState.LOADED: fresh,
            PanelState.LOADING: replace(fresh, facts=None),
            PanelState.EMPTY: replace(fresh, is_empty=True, empty="Nothing here yet; it comes from there."),
            PanelState.STALE: replace(fresh, as_of_ns=NOW - 38 * NS_PER_S),
            PanelState.ERROR: replace(fresh, facts=None, error="The gate doesn't answer.", incident="abc123"),
            PanelState.NOT_PERMITTED: replace(fresh, role_needed="risk officer"),
        }
        for state, variant in shown.items():
            assert variant.state(NOW) is state, f"{name} {state}"
            text = text_of(variant, NOW)
            if name in WITHOUT_HEADING:
                continue
            assert panel.title in text, f"{name} {state}"
            expected = {
                PanelState.LOADING: "Reading",
                PanelState.EMPTY: "Nothing here yet; it comes from there.",
                PanelState.STALE: "38 s old, expected every 1 s",
                PanelState.ERROR: "The gate doesn't answer. incident abc123",
                PanelState.NOT_PERMITTED: "the role risk officer does",
                PanelState.LOADED: "0 s old",
            }[state]
            assert expected in text, f"{name} {state}: {text[:300]}"


def test_a_panel_that_is_empty_says_so_also_when_it_is_old_or_in_trouble(shared_desk: Desk) -> None:
    sources, empties = shared_desk.app.state.sources, 0
    with sources.supervision.reading() as book:
        running = next(key for key, parent in book.parents.items() if parent.tca is None and not parent.denied_count)
    for path in (*page_addresses(shared_desk).values(), f"/orders/{running}", "/orders?instrument=none"):
        address, _, query = path.partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        visit = Visit(address, pairs, None, sources.clock.wall_ns())
        door, parts = next((door, door.match(address)) for door in PAGES if door.match(address) is not None)
        for panel in door.read(sources, visit, **(parts or {})).panels:
            if not panel.is_empty:
                continue
            empties += 1
            old = replace(panel, as_of_ns=1, interval_ns=NS_PER_S)
            assert panel.empty in text_of(old, NOW), panel.name
            assert panel.empty in text_of(replace(panel, as_of_ns=NOW, interval_ns=0, error="Trouble."), NOW), (
                panel.name
            )
    assert empties >= 5


@pytest.mark.case("U23")
def test_every_sign_is_a_shape_and_a_word_and_each_shape_exists(desk: Desk) -> None:
    import re

    sprite = (Path(TEMPLATES).parent / "static" / "icons.svg").read_text(encoding="utf-8")
    for panel in panels_of(desk).values():
        html = RENDERER.panel(panel, now_ns=panel.as_of_ns, sequence=1)
        for sign in re.findall(r'<span class="sign [^"]*">.*?</span></span>', html, re.DOTALL):
            (shape,) = re.findall(r'href="#([a-z-]+)"', sign)
            assert f'id="{shape}"' in sprite
            assert re.search(r'class="word">[^<]+<', sign), sign


@pytest.mark.case("U12")
def test_a_panel_is_stale_once_its_age_passes_twice_its_interval() -> None:
    panel = Panel("limits", "Limits", {"rows": []}, as_of_ns=NOW, interval_ns=NS_PER_S)

    assert panel.state(NOW + 2 * NS_PER_S) is PanelState.LOADED
    assert panel.state(NOW + 2 * NS_PER_S + 1) is PanelState.STALE
    assert replace(panel, is_empty=True).state(NOW + 3 * NS_PER_S) is PanelState.STALE
    assert replace(panel, interval_ns=0).state(NOW + 900 * NS_PER_S) is PanelState.LOADED


def test_an_error_beside_old_facts_keeps_the_facts_and_says_so() -> None:
    panel = Panel("states", "State of the firm", {"firm": {"sign": "normal", "word": "active"}, "rows": []})

    text = text_of(replace(panel, error="The gate doesn't answer."), NOW)

    assert "The gate doesn't answer. What stands below is the last that was known." in text
    assert "active" in text


def test_a_fingerprint_changes_with_facts_and_state_but_not_with_age() -> None:
    panel = Panel("limits", "Limits", {"rows": [1]}, as_of_ns=NOW, interval_ns=NS_PER_S)

    assert panel.fingerprint(NOW) == replace(panel, as_of_ns=NOW + 5).fingerprint(NOW + 6)
    assert panel.fingerprint(NOW) != replace(panel, facts={"rows": [2]}).fingerprint(NOW)
    assert panel.fingerprint(NOW) != panel.fingerprint(NOW + 9 * NS_PER_S)


def test_a_breach_runs_past_the_end_mark_and_what_is_unknown_is_hatched_with_a_sentence(desk: Desk) -> None:
    from tests.support.gates import utilisation_row

    desk.gate.rows = [
        utilisation_row("gross_notional", "desk:crypto", 12_000_000, 1_000_000, 10_000_000),
        utilisation_row("net_notional", "desk:crypto", 1, 0, 10_000_000, is_unknown=True),
    ]
    desk.poll()
    operator = desk.client()

    rows = operator.get("/limits.json").json()["panels"]["limits"]["facts"]["rows"]
    html = operator.get("/limits").text

    assert [row["mark"]["word"] for row in rows] == ["unknown", "breach"]
    assert rows[1]["bar"] == {"used": 1200, "reserved": 50}
    assert rows[1]["headroom"] == "−3.00 USD"
    assert "use is not known; the last known value was" in rows[0]["sentence"]
    assert "bar-hatch" in html
