"""What a page is made of: panels, each with its facts, their time, and one of six states that the facts decide."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.domain.clock import NS_PER_S

Facts = Mapping[str, object]


class PanelState(StrEnum):
    """How a panel stands; every panel has all six."""

    LOADING = "loading"
    EMPTY = "empty"
    LOADED = "loaded"
    STALE = "stale"
    ERROR = "error"
    NOT_PERMITTED = "not-permitted"


@dataclass(frozen=True, slots=True)
class Panel:
    """One live part of a page.

    Fields
        name         template part `parts/<name>.html`
        title        its heading
        facts        what it shows; None before anything was read
        as_of_ns     when the facts were read; 0 for facts that don't age
        interval_ns  how often they are read; 0 for facts that don't age
        is_empty     whether there is nothing to show, and that is the truth
        empty        what would be here and how it gets here
        error        what failed and what still works; empty when nothing failed
        incident     number under which the log tells more about the error
        role_needed  which role would see it, when this person may not
        element_id   identifier on the page; the name unless a page shows a part twice
    """

    name: str
    title: str
    facts: Facts | None = None
    as_of_ns: int = 0
    interval_ns: int = 0
    is_empty: bool = False
    empty: str = ""
    error: str = ""
    incident: str = ""
    role_needed: str = ""
    element_id: str = ""

    @property
    def id(self) -> str:
        return f"panel-{self.element_id or self.name}"

    def state(self, now_ns: int) -> PanelState:
        """How the panel stands now. Facts older than twice their interval are stale, and stale is never empty."""
        if self.role_needed:
            return PanelState.NOT_PERMITTED
        if self.facts is None:
            return PanelState.ERROR if self.error else PanelState.LOADING
        if self.interval_ns and now_ns - self.as_of_ns > 2 * self.interval_ns:
            return PanelState.STALE
        if self.error:
            return PanelState.ERROR
        return PanelState.EMPTY if self.is_empty else PanelState.LOADED

    def fingerprint(self, now_ns: int) -> str:
        """A short digest of what the panel shows apart from ages; another one means that it has to be sent again."""
        shown = [self.state(now_ns).value, self.title, self.error, self.facts]
        return hashlib.blake2b(json.dumps(shown, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()

    def plain(self, now_ns: int) -> dict[str, object]:
        """The panel as JSON shows it."""
        return {
            "title": self.title,
            "state": self.state(now_ns).value,
            "as_of_ns": str(self.as_of_ns),
            "interval_seconds": self.interval_ns // NS_PER_S,
            "error": self.error,
            "facts": self.facts,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Fields
        name      template `pages/<name>.html`
        title     its heading and the first words of the browser's title
        path      permanent address, filters included
        guide     entry of the guide that explains it
        panels    by name, in reading order
        facts     what the page's template shows outside its panels; never live
        scope     scope that the stop button opens on
        sequence  how far the record had been read
    """

    name: str
    title: str
    path: str
    guide: str
    panels: tuple[Panel, ...] = ()
    facts: Facts = field(default_factory=dict)
    scope: str = "firm:firm"
    sequence: int = 0

    @property
    def json_address(self) -> str:
        """The same address with `.json`, filters kept."""
        path, separator, query = self.path.partition("?")
        return f"{path}.json{separator}{query}"

    def panel(self, name: str) -> Panel:
        """The panel with this name."""
        return next(panel for panel in self.panels if panel.name == name)

    def plain(self, now_ns: int, environment: str) -> dict[str, object]:
        """The page as JSON shows it: the same facts under the same names."""
        return {
            "page": self.name,
            "title": self.title,
            "path": self.path,
            "environment": environment,
            "as_of_ns": str(now_ns),
            "sequence": self.sequence,
            "facts": self.facts,
            "panels": {panel.element_id or panel.name: panel.plain(now_ns) for panel in self.panels},
        }
