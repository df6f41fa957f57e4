"""What the checks of one order found: every failed one, what decided, and how much smaller the order would have to be.

A failed check stands whatever the quantity (`deny`), falls away when the whole order is a proved reduction
(`deny_unless`), or falls away when the order is small enough (`deny_size`). No check stops another.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from controlplane.domain.decisions import FIRST_MORE_CODE, DenialCode
from controlplane.domain.scopes import ScopeKind
from controlplane.gate.plain.book import Path

NO_SCOPE = 15


class Finding(NamedTuple):
    """One limit and what was compared with it.

    Fields
        binding  scope kind and, from bit 8 on, the number of the scope; NO_SCOPE where a check belongs to none
    """

    code: DenialCode
    binding: int
    measured: int
    limit: int


class Bound(NamedTuple):
    """The most that one limit would let through: lots of the live part, or millionths, with where it comes from."""

    most: int
    finding: Finding


@dataclass(slots=True)
class Findings:
    """Failed checks and bounds of one order.

    Fields
        failed        the first finding of every code that failed
        scopes        kinds of scope at which a check failed
        is_hard       a check failed that no quantity would pass
        is_waivable   a check was failed, or would have been, that only a proved reduction passes
        lots          bounds on the live part, in lots
        whole_micro   bounds on the exposure of the whole order
        live_micro    bounds on the exposure of the live part
        waived_micro  the same, from limits that a proved reduction may pass
    """

    path: Path = field(default_factory=dict)
    failed: dict[DenialCode, Finding] = field(default_factory=dict)
    scopes: set[ScopeKind] = field(default_factory=set)
    is_hard: bool = False
    is_waivable: bool = False
    lots: list[Bound] = field(default_factory=list)
    whole_micro: list[Bound] = field(default_factory=list)
    live_micro: list[Bound] = field(default_factory=list)
    waived_micro: list[Bound] = field(default_factory=list)

    def deny(self, code: DenialCode, kind: ScopeKind | None, measured: int = 0, limit: int = 0) -> None:
        """Note a failed check that no quantity would pass."""
        self.is_hard = True
        self.deny_size(code, kind, measured, limit)

    def deny_unless(
        self, is_reducing: bool, code: DenialCode, kind: ScopeKind | None, measured: int = 0, limit: int = 0
    ) -> None:
        """Note a failed check unless the whole order is a proved reduction."""
        self.is_waivable = True
        if not is_reducing:
            self.deny_size(code, kind, measured, limit)

    def deny_size(self, code: DenialCode, kind: ScopeKind | None, measured: int = 0, limit: int = 0) -> None:
        """Note a failed check that a smaller quantity would pass."""
        self.failed.setdefault(code, self.finding(code, kind, measured, limit))
        if kind is not None:
            self.scopes.add(kind)

    def finding(self, code: DenialCode, kind: ScopeKind | None, measured: int, limit: int) -> Finding:
        """Return a finding at the scope of that kind on the path; its number is 0 while the path isn't known."""
        number = self.path[kind].node.number if kind is not None and kind in self.path else 0
        return Finding(code, (NO_SCOPE if kind is None else int(kind)) | number << 8, measured, limit)

    @property
    def first(self) -> Finding:
        """The failed check that comes first in the order of precedence."""
        return self.failed[min(self.failed)]

    @property
    def failed_mask(self) -> int:
        return sum(1 << (code - 1) for code in self.failed if code < FIRST_MORE_CODE)

    @property
    def failed_mask_more(self) -> int:
        return sum(1 << (code - FIRST_MORE_CODE) for code in self.failed if code >= FIRST_MORE_CODE)

    @property
    def scopes_mask(self) -> int:
        return sum(1 << int(kind) for kind in self.scopes)
