"""REST doors of orders, decisions, limits in use, and the state of the running system; all of them only read."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from controlplane.halts.readings import GateReadings, Reading
from controlplane.supervision.index import DecisionQuery
from controlplane.supervision.orders import Child, Entry, Parent
from controlplane.supervision.service import Supervision
from controlplane.supervision.steps import steps_of
from controlplane.supervision.trail import Trail

ROWS_MAX = 500


class ParentView(BaseModel):
    """One block; quantities in lots, prices in thousandths of a tick, times in nanoseconds as decimal text."""

    parent_id: str
    state: str
    route: dict[str, str]
    side: str
    quantity_lots: int
    filled_lots: int
    average_price_ticks_milli: int
    children: int
    allowed: int
    denied: int
    started_ns: str


class ChildView(BaseModel):
    """One child order."""

    child_id: str
    parent_id: str
    state: str
    side: str
    instrument: str
    venue: str
    order_type: str
    quantity_lots: int
    filled_lots: int
    price_ticks: int
    first_ns: str


class StepView(BaseModel):
    """One of the eighteen steps."""

    number: int
    title: str
    where: str
    state: str
    at_ns: str
    facts: dict[str, str]
    places: list[str]
    note: str


class ParentDetail(BaseModel):
    """A block with its children."""

    parent: ParentView
    children: list[ChildView]


class ChildDetail(BaseModel):
    """A child with its way to the venue and back."""

    child: ChildView
    steps: list[StepView]


class ParentList(BaseModel):
    """Blocks, the newest first."""

    as_of_ns: str
    parents: list[ParentView]


class RecordView(BaseModel):
    """One record of the journal, as its exports show it."""

    place: str
    kind: str
    wall_ns: str
    facts: dict[str, Any]


class DecisionList(BaseModel):
    """A page of decisions, the newest first."""

    total: int
    is_complete: bool = Field(description="Whether the total counts everything that matches.")
    has_older: bool
    decisions: list[RecordView]


class ReadingView(BaseModel):
    """A gate's answer with its time; `value` is the last one when the latest attempt failed."""

    as_of_ns: str
    error: str
    value: dict[str, Any] | None


class StatusView(BaseModel):
    """The running system: its gate, and how well the record is followed."""

    environment: str
    gate: ReadingView
    record_read_ns: str
    record_error: str
    records_read: int


def router(supervision: Supervision, readings: GateReadings, *, environment: str) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api")
    _add_orders(routes, supervision)
    _add_decisions(routes, supervision)
    _add_readings(routes, supervision, readings, environment)
    return routes


def _add_orders(routes: APIRouter, supervision: Supervision) -> None:
    @routes.get("/orders", tags=["orders"], summary="Blocks, the newest first")
    def list_parents(limit: Annotated[int, Query(ge=1, le=ROWS_MAX)] = 100) -> ParentList:
        with supervision.reading() as book:
            newest = list(reversed(book.parents.values()))[:limit]
            views = [parent_view(parent) for parent in newest]
        return ParentList(as_of_ns=str(supervision.following.read_ns), parents=views)

    @routes.get("/orders/{parent_id}", tags=["orders"], summary="One block with its children")
    def read_parent(parent_id: str) -> ParentDetail:
        parent, children = supervision.parent(parent_id)
        with supervision.reading():
            views = [child_view(children[key]) for key in parent.children if key in children]
            return ParentDetail(parent=parent_view(parent), children=views)

    @routes.get("/children/{child_id}", tags=["orders"], summary="One child with its eighteen steps")
    def read_child(child_id: str) -> ChildDetail:
        child, parent = supervision.child(child_id)
        with supervision.reading():
            steps = steps_of(Trail(child, parent, supervision.names, supervision.following.read_ns))
            views = [
                StepView(
                    number=step.number,
                    title=step.title,
                    where=step.where,
                    state=step.state.value,
                    at_ns=str(step.at_ns),
                    facts=dict(step.facts),
                    places=list(step.places),
                    note=step.note,
                )
                for step in steps
            ]
            return ChildDetail(child=child_view(child), steps=views)


def _add_decisions(routes: APIRouter, supervision: Supervision) -> None:
    @routes.get("/decisions", tags=["decisions"], summary="Decisions that match, the newest first")
    def list_decisions(
        outcome: Annotated[str, Query(pattern="^(ALLOWED|DENIED)?$")] = "",
        code: Annotated[str, Query(pattern="^[A-Z_]{0,60}$")] = "",
        order: Annotated[str, Query(pattern="^([0-9a-f]{16})?$", description="Parent or child order.")] = "",
        from_ns: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
        to_ns: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
        before: Annotated[str, Query(max_length=80, description="Start below this place.")] = "",
        limit: Annotated[int, Query(ge=1, le=ROWS_MAX)] = 100,
    ) -> DecisionList:
        query = DecisionQuery(
            from_ns=from_ns, to_ns=to_ns, outcome=outcome, code=code, order_id=order, before=before, limit=limit
        )
        found = supervision.decisions(query)
        return DecisionList(
            total=found.total,
            is_complete=found.is_complete,
            has_older=found.has_older,
            decisions=[record_view(entry) for entry in found.entries],
        )

    @routes.get("/decisions/{place}", tags=["decisions"], summary="One record by its place, `gate-0.512`")
    def read_decision(place: str) -> RecordView:
        return record_view(supervision.decision(place))


def _add_readings(routes: APIRouter, supervision: Supervision, readings: GateReadings, environment: str) -> None:
    @routes.get("/limits/utilisation", tags=["limits"], summary="Every limit with what is used and reserved")
    def read_utilisation() -> ReadingView:
        return reading_view(readings.get("utilisation"))

    @routes.get("/status", tags=["status"], summary="The gate and the record")
    def read_status() -> StatusView:
        following = supervision.following
        return StatusView(
            environment=environment,
            gate=reading_view(readings.get("status")),
            record_read_ns=str(following.read_ns),
            record_error=following.error,
            records_read=following.sequence,
        )


def parent_view(parent: Parent) -> ParentView:
    """A block as a program reads it."""
    return ParentView(
        parent_id=parent.parent_id,
        state=parent.state.value,
        route=dict(parent.route),
        side=parent.side,
        quantity_lots=parent.quantity_lots,
        filled_lots=parent.filled_lots,
        average_price_ticks_milli=parent.average_ticks_milli,
        children=len(parent.children),
        allowed=parent.allowed_count,
        denied=parent.denied_count,
        started_ns=str(parent.started_ns),
    )


def child_view(child: Child) -> ChildView:
    """A child order as a program reads it."""
    return ChildView(
        child_id=child.child_id,
        parent_id=child.parent_id,
        state=child.state.value,
        side=child.side,
        instrument=child.instrument,
        venue=child.venue,
        order_type=child.order_type,
        quantity_lots=child.quantity_lots,
        filled_lots=child.filled_lots,
        price_ticks=child.price_ticks,
        first_ns=str(child.first_ns),
    )


def record_view(entry: Entry) -> RecordView:
    """A record as a program reads it."""
    return RecordView(place=entry.place, kind=entry.kind, wall_ns=str(entry.wall_ns), facts=dict(entry.facts))


def reading_view(reading: Reading) -> ReadingView:
    """A gate's answer as a program reads it."""
    value: Mapping[str, object] | None = reading.value
    return ReadingView(
        as_of_ns=str(reading.as_of_ns), error=reading.error, value=dict(value) if value is not None else None
    )
