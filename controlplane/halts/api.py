"""REST doors of stops and lifts."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from controlplane.halts.authority import REASON_LENGTH_MAX, Rung, rung_of
from controlplane.halts.board import Lift, Stop
from controlplane.halts.effective import ScopeState, scope_states
from controlplane.halts.once import KEY_LENGTH_MAX, KEY_LENGTH_MIN
from controlplane.halts.readings import GateReadings
from controlplane.halts.service import Halts, Press
from controlplane.identity.guard import session_of, visitor_of

KeyHeader = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=KEY_LENGTH_MIN,
        max_length=KEY_LENGTH_MAX,
        description="One key per intention: the same key again gets the first result.",
    ),
]


class StrictRequest(BaseModel):
    """A body without unknown fields and without silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StopRequest(StrictRequest):
    """Which rung for which scope; `firm` or `kind:name`."""

    rung: str = Field(description=f"One of {', '.join(rung.value for rung in Rung)}.", max_length=40)
    scope: str = Field(min_length=1, max_length=100)


class ReasonRequest(StrictRequest):
    """Why a stop was pressed."""

    reason: str = Field(max_length=REASON_LENGTH_MAX)


class LiftRequest(StrictRequest):
    """Which halt to end and why."""

    scope: str = Field(min_length=1, max_length=100)
    reason: str = Field(max_length=REASON_LENGTH_MAX)


class ConfirmRequest(StrictRequest):
    """The name of the scope, typed by the second person."""

    scope: str = Field(min_length=1, max_length=100)


class ScopeStateView(BaseModel):
    """One scope that isn't active."""

    scope: str
    state: str
    reason: str
    by: str
    since_ns: str


class BlockedView(BaseModel):
    """From when one machine's gate blocked."""

    gate: str
    blocked_ns: str


class StopView(BaseModel):
    """One stop as it was pressed."""

    stop_id: str
    rung: str
    scope: str
    by: str
    pressed_ns: str
    took_ns: str
    gates: list[BlockedView]
    working_at_press: list[str]
    reason: str


class LiftView(BaseModel):
    """One lift and how far it has come."""

    lift_id: str
    scope: str
    state: str
    reason: str
    asked_by: str
    stage: str
    ended_by: str


class HaltsView(BaseModel):
    """Everything that is stopped, was stopped lately, or waits to be lifted."""

    as_of_ns: str
    states: list[ScopeStateView]
    stops: list[StopView]
    lifts: list[LiftView]


def router(halts: Halts, readings: GateReadings) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/halts", tags=["halts"])

    @routes.get("", summary="What is stopped, by whom and why")
    def read() -> HaltsView:
        status = readings.get("status")
        return HaltsView(
            as_of_ns=str(status.as_of_ns),
            states=[state_view(row) for row in scope_states(status.value or {})],
            stops=[stop_view(stop) for stop in halts.board.latest_stops()[:100]],
            lifts=[lift_view(lift) for lift in halts.board.waiting_lifts()],
        )

    @routes.post("", summary="Stop a scope; in force when this answers", status_code=201)
    def press(body: StopRequest, request: Request, key: KeyHeader) -> StopView:
        return stop_view(halts.press(Press(rung_of(body.rung), body.scope, _name(request), key)))

    @routes.post("/{stop_id}/reason", summary="Say why")
    def give_reason(stop_id: str, body: ReasonRequest, request: Request) -> StopView:
        return stop_view(halts.give_reason(stop_id, reason=body.reason, by=_name(request)))

    @routes.post("/lifts", summary="Ask for a halt to be lifted", status_code=201)
    def ask(body: LiftRequest, request: Request, key: KeyHeader) -> LiftView:
        return lift_view(halts.ask_lift(scope=body.scope, reason=body.reason, by=_name(request), key=key))

    @routes.post("/lifts/{lift_id}/confirm", summary="Lift it, as the second person")
    def confirm(lift_id: str, body: ConfirmRequest, request: Request) -> LiftView:
        return lift_view(halts.confirm_lift(lift_id, by=_name(request), typed_scope=body.scope))

    @routes.post("/lifts/{lift_id}/withdraw", summary="End the request without effect")
    def withdraw(lift_id: str, request: Request) -> LiftView:
        return lift_view(halts.withdraw_lift(lift_id, by=_name(request)))

    @routes.post("/resume", summary="End a pause or a reduce-only, as one person with a reason")
    def resume(body: LiftRequest, request: Request, key: KeyHeader) -> ScopeStateView | None:
        left = halts.resume(scope=body.scope, reason=body.reason, by=_name(request), key=key)
        return None if left is None else state_view(left)

    return routes


def state_view(row: ScopeState) -> ScopeStateView:
    """The state of a scope as a program reads it."""
    return ScopeStateView(
        scope=row.scope, state=row.state.name, reason=row.reason, by=row.by, since_ns=str(row.since_ns)
    )


def stop_view(stop: Stop) -> StopView:
    """A stop as a program reads it."""
    return StopView(
        stop_id=stop.stop_id,
        rung=stop.rung.value,
        scope=stop.scope,
        by=stop.by,
        pressed_ns=str(stop.pressed_ns),
        took_ns=str(stop.took_ns),
        gates=[BlockedView(gate=gate, blocked_ns=str(blocked)) for gate, blocked in stop.gates],
        working_at_press=list(stop.children),
        reason=stop.reason,
    )


def lift_view(lift: Lift) -> LiftView:
    """A lift as a program reads it."""
    return LiftView(
        lift_id=lift.lift_id,
        scope=lift.scope,
        state=lift.seen.state.name,
        reason=lift.reason,
        asked_by=lift.asked_by,
        stage=lift.stage.value,
        ended_by=lift.ended_by,
    )


def _name(request: Request) -> str:
    return session_of(visitor_of(request.scope)).person.name
