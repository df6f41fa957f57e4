"""Proof that no lot of a parent is lost or doubled: ordered = filled + working + in flight + unplaced + cancelled.

The parent's own counts are compared with the sums over its children, and each child's filled lots with the sum of its
executions. A difference means that one of the three accounts is wrong; nothing may go on until it is known which.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.domain.errors import QuantityMismatch
from executor.orders.child import Child
from executor.orders.parent import WANTING, Parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The places of a parent's lots, after all accounts agreed.

    `excess_lots` is 0 unless a venue filled more than it was asked for; then it stands beside what was ordered.
    """

    parent_id: int
    ordered_lots: int
    filled_lots: int
    working_lots: int
    in_flight_lots: int
    unplaced_lots: int
    cancelled_lots: int
    excess_lots: int

    def as_json(self) -> dict[str, int]:
        """Return the numbers under their field names."""
        return {name: getattr(self, name) for name in self.__slots__}


def reconcile(parent: Parent, children: Iterable[Child]) -> Reconciliation:
    """Return where the lots of the parent are, after comparing all accounts.

    Arguments
        children   all children the parent ever had
    Errors
        QuantityMismatch   with every number, when an account differs from another
    """
    filled_lots = working_lots = in_flight_lots = executed_lots = 0
    strangers = []
    for child in children:
        if child.parent_id != parent.parent_id or child.side is not parent.side:
            strangers.append(child.child_id)
        filled_lots += child.filled_lots
        working_lots += child.working_lots
        in_flight_lots += child.in_flight_lots
        executed_lots += sum(execution.quantity_lots for execution in child.executions)
    result = Reconciliation(
        parent_id=parent.parent_id,
        ordered_lots=parent.quantity_lots,
        filled_lots=parent.filled_lots,
        working_lots=parent.working_lots,
        in_flight_lots=parent.in_flight_lots,
        unplaced_lots=parent.unplaced_lots,
        cancelled_lots=parent.cancelled_lots,
        excess_lots=parent.excess_lots,
    )
    faults = [
        *_faults_within(parent),
        *(f"child {child_id} belongs to another parent or side" for child_id in strangers),
        *_faults_between("filled", parent.filled_lots, filled_lots),
        *_faults_between("executed", parent.filled_lots, executed_lots),
        *_faults_between("working", parent.working_lots, working_lots),
        *_faults_between("in flight", parent.in_flight_lots, in_flight_lots),
    ]
    if faults:
        raise QuantityMismatch(
            f"Parent {parent.parent_id} must reconcile: {'; '.join(faults)}; ordered {parent.quantity_lots}, filled "
            f"{parent.filled_lots}, working {parent.working_lots}, in flight {parent.in_flight_lots}, unplaced "
            f"{parent.unplaced_lots}, cancelled {parent.cancelled_lots}, excess {parent.excess_lots}; pause the parent "
            "and compare it with the venues."
        )
    return result


def _faults_within(parent: Parent) -> list[str]:
    """Return what is wrong with the parent's own counts."""
    placed_lots = parent.filled_lots + parent.working_lots + parent.in_flight_lots
    accounted_lots = placed_lots + parent.unplaced_lots + parent.cancelled_lots
    faults = []
    if accounted_lots != parent.quantity_lots + parent.excess_lots:
        faults.append(f"{accounted_lots} lots accounted for")
    if min(placed_lots, parent.unplaced_lots, parent.cancelled_lots, parent.excess_lots) < 0:
        faults.append("a place holds less than nothing")
    if parent.excess_lots and (parent.unplaced_lots or parent.cancelled_lots):
        faults.append("an excess stands beside lots that are still spare")
    if parent.unplaced_lots and parent.state not in WANTING:
        faults.append(f"lots are unplaced while {parent.state}")
    return faults


def _faults_between(place: str, parent_lots: int, children_lots: int) -> list[str]:
    """Return the difference between the parent's count and its children's, if any."""
    return (
        []
        if parent_lots == children_lots
        else [f"{place} {parent_lots} by the parent, {children_lots} by its children"]
    )
