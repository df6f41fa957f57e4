"""Control requests about breakers: what they are doing, and the supervisor's sign of life."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.measures import Beat
from controlplane.gate.breakers.view import breakers_answer

if TYPE_CHECKING:
    from controlplane.gate.gate import Gate


def breakers(gate: "Gate", _fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return every breaker and dynamic limit; times are steady, and `steady_ns` is the present one."""
    return {"wall_ns": gate.clock.wall_ns(), "steady_ns": gate.steady_ns(), **breakers_answer(gate.state)}


def beat(gate: "Gate", fields: Mapping[str, Any]) -> dict[str, Any]:
    """Take the supervisor's sign of life; InvalidRequest for any other, which the gate sees by itself."""
    name = str(fields.get("source", ""))
    if name.upper() != Beat.SUPERVISOR.name:
        raise InvalidRequest(f"The supervisor alone tells the gate that it lives; found {name[:40]!r}.", field="source")
    gate.beat(Beat.SUPERVISOR)
    return {"wall_ns": gate.clock.wall_ns()}
