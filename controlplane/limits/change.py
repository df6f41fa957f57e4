"""Two rule books compared line by line: what tightens, what loosens, and what changes nothing that a gate decides.

Tightening may take effect at once and loosening needs a second person, so what can't be classed counts as loosening.
The direction of a limit is that of `kinds.py`; what else has one stands in the tables below.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from controlplane.limits.kinds import KINDS, Direction
from controlplane.policy.problems import dotted

Content = Mapping[str, object]
Path = tuple[str, ...]

LIMIT_FOLDER = "limits/"
DIRECTIONS: Mapping[str, Direction] = {kind.policy_key: kind.direction for kind in KINDS}
SMALLER, LARGER = Direction.SMALLER_IS_TIGHTER, Direction.LARGER_IS_TIGHTER
# Numbers and switches beside the limits; for a switch, true counts as the larger.
OTHER_DIRECTIONS: Mapping[tuple[str, str], Direction] = {
    ("watch.toml", "permit_ttl_ms"): SMALLER,
    ("watch.toml", "phase_age_ms_max"): SMALLER,
    ("watch.toml", "volume_age_ms_max"): SMALLER,
    ("watch.toml", "rate_age_ms_max"): SMALLER,
    ("watch.toml", "snapshot_validity_hours"): SMALLER,
    # the same number of messages or denials in a longer window is a smaller rate
    ("watch.toml", "message_window_ms"): LARGER,
    ("watch.toml", "denied_window_ms"): LARGER,
    ("watch.toml", "duplicate_window_ms"): LARGER,
    ("watch.toml", "reject_window_ms"): LARGER,
    # fewer orders before a habit is judged; the length of its window says nothing by itself
    ("watch.toml", "ratio_orders_min"): SMALLER,
    ("watch.toml", "disagreement_hold_ms"): LARGER,
    ("watch.toml", "is_phase_required"): LARGER,
    ("retention.toml", "years"): LARGER,
    ("limits/collars.toml", "is_one_sided"): SMALLER,
    ("instruments.toml", "quantity_max"): SMALLER,
    ("instruments.toml", "price_max"): SMALLER,
    ("instruments.toml", "quantity_min"): LARGER,
    ("instruments.toml", "price_min"): LARGER,
}  # fmt: skip
# Lists of names: what permits, and what forbids.
ALLOW_LISTS = frozenset({
    ("limits/strategies.toml", "instruments"), ("limits/strategies.toml", "venues"),
    ("limits/desks.toml", "strategies"), ("venues.toml", "instruments"), ("venues.toml", "counterparties"),
})  # fmt: skip
DENY_LISTS = frozenset({
    ("limits/firm.toml", "restricted_instruments"), ("calendars.toml", "holidays"), ("retention.toml", "legal_holds"),
})  # fmt: skip
# Words for people, the share from which a use is shown as near, and what only schedules read.
WITHOUT_EFFECT = frozenset({"description", "reason", "near_bps", "volume_curve"})
FILES_WITHOUT_EFFECT = frozenset({"volume_curves.toml"})
# Tables whose whole removal permits less: nobody may use what isn't there.
PERMITTING_TABLES = frozenset({
    ("governance.toml", "models"), ("limits/strategies.toml", "strategies"), ("limits/desks.toml", "desks"),
})  # fmt: skip
APPROVED = "approved"
NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)


class Effect(StrEnum):
    TIGHTENING = "tightening"
    NEUTRAL = "neutral"
    LOOSENING = "loosening"


@dataclass(frozen=True, slots=True)
class Change:
    """One changed line: the values as written, None where there was no such line."""

    file: str
    key: str
    old: str | None
    new: str | None
    effect: Effect
    reason: str

    def sentence(self) -> str:
        """Return the change for a person."""
        old, new = ("(none)" if value is None else value for value in (self.old, self.new))
        return f"{self.file}: {self.key}: {old} -> {new} ({self.reason})."


def changes(old: Mapping[str, Content], new: Mapping[str, Content]) -> tuple[Change, ...]:
    """Return every changed line of two whole rule books, file by file.

    Arguments
        old, new  keys of every file by its name, each of a rule book that loads
    """
    return tuple(
        _Comparison(file, old, new).change(path, before, after)
        for file in sorted({*old, *new})
        for path, before, after in _lines(old.get(file, {}), new.get(file, {}), ())
    )


def effect_of(found: tuple[Change, ...]) -> Effect:
    """Return what a whole change does: it loosens when one line does."""
    effects = {change.effect for change in found}
    for effect in (Effect.LOOSENING, Effect.TIGHTENING):
        if effect in effects:
            return effect
    return Effect.NEUTRAL


def _lines(old: Content, new: Content, above: Path) -> Iterator[tuple[Path, object, object]]:
    """Yield path and both values of each differing key that is no table; None stands for a missing one."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) or isinstance(after, Mapping):
            own, other = (value if isinstance(value, Mapping) else {} for value in (before, after))
            yield from _lines(own, other, (*above, key))
        else:
            yield (*above, key), before, after


class _Comparison:
    """One file of two rule books, with all the others at hand."""

    def __init__(self, file: str, old: Mapping[str, Content], new: Mapping[str, Content]) -> None:
        self._file, self._old, self._new = file, old, new

    def change(self, path: Path, before: object, after: object) -> Change:
        effect, reason = self._class_of(path, before, after)
        old, new = (None if value is None else _text(value) for value in (before, after))
        return Change(self._file, dotted(path), old, new, effect, reason)

    def _class_of(self, path: Path, before: object, after: object) -> tuple[Effect, str]:
        key = path[-1]
        if key in WITHOUT_EFFECT or self._file in FILES_WITHOUT_EFFECT:
            return Effect.NEUTRAL, "a gate decides nothing by it"
        if self._is_removed_whole(path):
            return Effect.TIGHTENING, "what it permitted isn't there any more"
        if self._file.startswith(LIMIT_FOLDER) and key in DIRECTIONS:
            return _by_direction(DIRECTIONS[key], before, after)
        if (self._file, key) in OTHER_DIRECTIONS and before is not None and after is not None:
            return _by_direction(OTHER_DIRECTIONS[self._file, key], before, after)
        if (self._file, key) in ALLOW_LISTS:
            return _by_names(before, after, is_allowing=True)
        if (self._file, key) in DENY_LISTS:
            return _by_names(before, after, is_allowing=False)
        if self._file == "governance.toml":
            return _by_approval(key, before, after)
        if self._file == "limits/strategies.toml" and path[0] == "strategies":
            return self._by_set(path, before, after)
        return Effect.LOOSENING, "it can't be classed, so it counts as loosening"

    def _is_removed_whole(self, path: Path) -> bool:
        """Return whether the table that permits something, or that limits a scope, is gone with all its keys."""
        is_permitting = (self._file, path[0]) in PERMITTING_TABLES
        is_limiting = self._file.startswith(LIMIT_FOLDER) and path[-1] in DIRECTIONS
        table = path[:2] if is_permitting else path[:-1]
        return (is_permitting or is_limiting) and _at(self._new.get(self._file, {}), table) is None

    def _by_set(self, path: Path, before: object, after: object) -> tuple[Effect, str]:
        """Class the choice of another set of limits by the limits of both sets."""
        if before is None or after is None:
            return (Effect.LOOSENING, "it permits a model") if before is None else (Effect.TIGHTENING, "a model less")
        table = "parent_limit_sets" if path[-1] == "parent_limits" else "limit_sets"
        books = ((self._old, before), (self._new, after))
        own, other = (_at(book.get(self._file, {}), (table, str(name))) for book, name in books)
        if not isinstance(own, Mapping) or not isinstance(other, Mapping):
            return Effect.LOOSENING, "it can't be classed, so it counts as loosening"
        effects = {
            _by_direction(DIRECTIONS[inner[-1]], old, new)[0] if inner[-1] in DIRECTIONS else Effect.LOOSENING
            for inner, old, new in _lines(own, other, ())
        }
        if Effect.LOOSENING in effects:
            return Effect.LOOSENING, "the other set permits more somewhere"
        if Effect.TIGHTENING in effects:
            return Effect.TIGHTENING, "the other set permits less, and nowhere more"
        return Effect.NEUTRAL, "both sets hold the same numbers"


def _by_direction(direction: Direction, before: object, after: object) -> tuple[Effect, str]:
    """Class two numbers or switches; a missing limit permits nothing, a missing safeguard is none: both are zero."""
    own, other = (Decimal(0) if value is None else Decimal(str(int(value) if isinstance(value, bool) else value))
                  for value in (before, after))  # fmt: skip
    if own == other:
        return Effect.NEUTRAL, "the number is the same"
    is_tighter = (other < own) == (direction is SMALLER)
    return (Effect.TIGHTENING if is_tighter else Effect.LOOSENING), str(direction)


def _by_names(before: object, after: object, *, is_allowing: bool) -> tuple[Effect, str]:
    """Class a list of names by who came in and who went out."""
    own, other = ({str(one) for one in value} if isinstance(value, list) else set() for value in (before, after))
    more, fewer = sorted(other - own), sorted(own - other)
    permitting, forbidding = (more, fewer) if is_allowing else (fewer, more)
    if permitting:
        return Effect.LOOSENING, f"it permits {', '.join(permitting)}"
    if forbidding:
        return Effect.TIGHTENING, f"it permits {', '.join(forbidding)} no more"
    return Effect.NEUTRAL, "the names are the same"


def _by_approval(key: str, before: object, after: object) -> tuple[Effect, str]:
    if key == "status":
        if after == APPROVED:
            return Effect.LOOSENING, "an approved model may ask for orders"
        is_withdrawn = before == APPROVED
        return (Effect.TIGHTENING if is_withdrawn else Effect.NEUTRAL), "only an approved model may ask for orders"
    if key == "expires" and before is not None and after is not None:
        own, other = (value if isinstance(value, dt.datetime) else NEVER for value in (before, after))
        return (Effect.TIGHTENING if other <= own else Effect.LOOSENING), "earlier is tighter"
    return Effect.LOOSENING, "it can't be classed, so it counts as loosening"


def _at(content: object, path: Path) -> object:
    """Return what stands at a path, None when nothing does."""
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            return None
        content = content[key]
    return content


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)
