"""Facts into HTML: one function for a panel, used by the first paint, by live updates and by tests alike."""

from pathlib import Path

import jinja2
from markupsafe import Markup

from controlplane.console import views
from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Visit
from controlplane.domain.clock import NS_PER_S
from controlplane.halts.once import make_key
from controlplane.identity.guard import FORM_TOKEN_FIELD

TEMPLATES = Path(__file__).parent / "templates"

NAVIGATION = (
    ("situation", "/", "Situation"),
    ("orders", "/orders", "Orders"),
    ("limits", "/limits", "Limits"),
    ("decisions", "/decisions", "Decisions"),
    ("stop", "/stop", "Stops and lifts"),
    ("help", "/help", "Help"),
)
# The page in the navigation that a page without an entry of its own belongs to.
BELONGS_TO = {"guide": "help", "block": "orders", "child": "orders", "decision": "decisions"}


class Renderer:
    """Templates with everything that is the same on every page.

    Arguments
        environment   SIMULATION or LIVE
        asset_digest  changes when any static file does; part of their addresses
        kill_command  what stops this machine from a shell
    """

    def __init__(self, *, environment: str, asset_digest: str, kill_command: str) -> None:
        self._jinja = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.filters |= {
            "utc": lambda text: views.utc(int(text)),
            "utc_time": lambda text: views.utc_time(int(text)),
            "iso": lambda text: views.iso(int(text)),
            "count": lambda number: views.count(int(number)),
            "percent": lambda bps: views.percent(int(bps)),
            "plural": views.plural,
        }
        self._jinja.globals |= {
            "environment": environment,
            "assets": asset_digest,
            "kill_command": kill_command,
            "navigation": NAVIGATION,
            "one_time_key": make_key,
            "form_token_field": FORM_TOKEN_FIELD,
            "link": views.link,
            "age_of": views.age,
            # Our own file, not anybody's input.
            "icons": Markup((TEMPLATES.parent / "static" / "icons.svg").read_text(encoding="utf-8")),  # noqa: S704
        }

    def panel(self, panel: Panel, *, now_ns: int, sequence: int) -> Markup:
        """The HTML of one panel in the state that its facts give it."""
        context = {
            "panel": panel,
            "state": panel.state(now_ns).value,
            "facts": panel.facts,
            "now_ns": now_ns,
            "sequence": sequence,
            "interval_seconds": panel.interval_ns // NS_PER_S,
        }
        # The template escaped every fact already.
        return Markup(self._jinja.get_template(f"parts/{panel.name}.html").render(context))  # noqa: S704

    def page(self, page: Page, *, visit: Visit, frame: Panel, form_token: str) -> str:
        """The whole HTML of a page."""

        def place(name: str) -> Markup:
            return self.panel(page.panel(name), now_ns=visit.now_ns, sequence=page.sequence)

        return self._jinja.get_template(f"pages/{page.name}.html").render(
            page=page,
            facts=page.facts,
            person=visit.person,
            now_ns=visit.now_ns,
            form_token=form_token,
            frame=self.panel(frame, now_ns=visit.now_ns, sequence=page.sequence),
            place=place,
            has_panel=lambda name: any(panel.name == name for panel in page.panels),
            section=BELONGS_TO.get(page.name, page.name),
        )

    def plain(self, template: str, **context: object) -> str:
        """A page outside the frame: signing in, and what went wrong before anybody was signed in."""
        return self._jinja.get_template(f"pages/{template}.html").render(context)

    def updates(self, changed: list[Panel], *, now_ns: int, sequence: int) -> str:
        """The message that brings these panels of an open page up to date."""
        return "".join(
            f'<hx-partial hx-target="#{panel.id}" hx-swap="outerMorph">'
            f"{self.panel(panel, now_ns=now_ns, sequence=sequence)}</hx-partial>"
            for panel in changed
        )
