"""A gate's control requests as a small working thing: states that change when pressed, orders that get cancelled."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from controlplane.domain.errors import GateUnavailable, InvalidRequest, NotPermitted, StateConflict
from controlplane.domain.states import TradingState

GATE_METRICS = """\
# HELP cp_gate_decisions_total Orders decided.
# TYPE cp_gate_decisions_total counter
cp_gate_decisions_total{code="NONE",outcome="allowed"} 1204.0
cp_gate_decisions_total{code="ORDER_QUANTITY_ABOVE_LIMIT",outcome="denied"} 9.0
# HELP cp_http_request_seconds Not the gate's to tell.
# TYPE cp_http_request_seconds histogram
"""


class FakeGateControl:
    """Answers `status`, `utilisation`, `working`, `set_state`, `lift`, `kill` from memory.

    Arguments
        now_ns   source of wall time
        working  orders that are live
    """

    def __init__(self, now_ns: Callable[[], int], *, working: list[dict[str, object]] | None = None) -> None:
        self.now_ns = now_ns
        self.working = list(working or [])
        self.states: dict[str, dict[str, object]] = {}
        self.is_killed = False
        self.is_away = False
        self.fence = 3
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.rows: list[dict[str, object]] = utilisation_rows()
        self._lock = threading.Lock()

    def control(self, name: str, **fields: object) -> Mapping[str, object]:
        with self._lock:
            self.calls.append((name, dict(fields)))
            if not all(isinstance(value, int if name == "fence" else str) for name, value in fields.items()):
                raise InvalidRequest(f"Expected every field as text, found {fields}.")
            if self.is_away:
                raise GateUnavailable("The gate doesn't answer on its socket; start it with `controlplane gate`.")
            answer: Mapping[str, object] = getattr(self, f"_{name}")(fields)
            return answer

    def acts(self, name: str) -> list[dict[str, object]]:
        """The fields of every request of this name so far."""
        return [fields for called, fields in self.calls if called == name]

    def _status(self, _: Mapping[str, object]) -> dict[str, Any]:
        firm = self.states.get("firm:firm", {}).get("state", "ACTIVE")
        now = self.now_ns()
        return {
            "gate_id": 0,
            "epoch": 4,
            "state": "KILLED" if self.is_killed else firm,
            "fence": self.fence,
            "snapshot_version": 7,
            "snapshot_digest": "9f2c41d07be1" + "0" * 52,
            "snapshot_expires_ns": now + 10**15,
            "started_ns": now - 5_400 * 10**9,
            "wall_ns": now,
            "records": 18_234,
            "durability": "disk",
            "decisions": {"ALLOWED": 1_204, "DENIED": 9},
            "codes": {"ORDER_QUANTITY_ABOVE_LIMIT": 9},
            "latency_ns": {"p50": 3_400, "p99": 11_900},
            "live_orders": len(self.working),
            "references": [
                {
                    "instrument": "ETH-PERP",
                    "source": "book",
                    "bid_ticks": 61_000,
                    "ask_ticks": 61_002,
                    "age_ns": 42_000_000,
                    "is_healthy": True,
                },
                {
                    "instrument": "ETH-3200-C",
                    "source": "book",
                    "bid_ticks": 411,
                    "ask_ticks": 414,
                    "age_ns": 118_000_000,
                    "is_healthy": True,
                },
            ],
            "states": [dict(row) for row in self.states.values()] + self._machine_row(),
        }

    def _machine_row(self) -> list[dict[str, object]]:
        if not self.is_killed:
            return []
        return [
            {
                "scope": "machine",
                "state": "KILLED",
                "reason": "pressed in the console; the reason follows",
                "by": "operator",
                "since_ns": self.now_ns(),
            }
        ]

    def _beat(self, _: Mapping[str, object]) -> dict[str, Any]:
        return {"wall_ns": self.now_ns()}

    def _metrics(self, _: Mapping[str, object]) -> dict[str, Any]:
        return {"text": GATE_METRICS, "content_type": "text/plain"}

    def _utilisation(self, _: Mapping[str, object]) -> dict[str, Any]:
        return {"wall_ns": self.now_ns(), "rows": [dict(row) for row in self.rows]}

    def _working(self, _: Mapping[str, object]) -> dict[str, Any]:
        return {"wall_ns": self.now_ns(), "rows": [dict(row) for row in self.working]}

    def _set_state(self, fields: Mapping[str, object]) -> dict[str, Any]:
        scope, state = str(fields["scope"]), str(fields["state"])
        present = TradingState[str(self.states.get(scope, {}).get("state", "ACTIVE"))]
        if TradingState[state] < present:
            raise StateConflict(f"{scope} is {present.name} already, which stops more than {state}; lift it first.")
        self.states[scope] = {
            "scope": scope,
            "state": state,
            "reason": fields["reason"],
            "by": fields["by"],
            "since_ns": self.now_ns(),
        }
        return {"blocked_ns": 41_000, "working": len(self.working), "sequence": 18_235, "fence": self.fence}

    def _lift(self, fields: Mapping[str, object]) -> dict[str, Any]:
        scope, by, second = str(fields["scope"]), str(fields["by"]), str(fields.get("second") or "")
        state = "HALTED" if scope == "machine" else str(self.states.get(scope, {}).get("state", "ACTIVE"))
        if state == "HALTED" and (not second or second == by):
            raise NotPermitted("Lifting a halt takes two different people.", rule="lift-needs-two")
        if scope == "machine":
            self.is_killed = False
        self.states.pop(scope, None)
        return {"blocked_ns": 0, "working": len(self.working), "sequence": 18_240, "fence": self.fence}

    def _kill(self, fields: Mapping[str, object]) -> dict[str, Any]:
        if fields.get("scope") not in ("firm", "firm:firm"):
            return self._set_state({**fields, "state": "HALTED"})
        self.is_killed, self.fence = True, self.fence + 1
        return {"blocked_ns": 30_000, "working": len(self.working), "fence": self.fence}


def working_row(child_id: str, parent_id: str, **changed: object) -> dict[str, object]:
    """One order that a gate counts as live."""
    row: dict[str, object] = {
        "child_id": child_id,
        "parent_id": parent_id,
        "instrument": "ETH-PERP",
        "desk": "crypto",
        "strategy": "twap",
        "model": "none",
        "venue": "simulated",
        "counterparty": "house",
        "side": "BUY",
        "remaining_lots": 800,
        "reserved_lots": 800,
        "price_ticks": 61_003,
        "state": "working",
    }
    return row | changed


def utilisation_row(
    limit: str, scope: str, used: int, reserved: int, limit_value: int, **changed: object
) -> dict[str, object]:
    """One limit in use."""
    taken = used + reserved
    share = -(-taken * 10_000 // limit_value) if limit_value else 0
    row: dict[str, object] = {
        "limit": limit,
        "scope": scope,
        "instrument": None,
        "unit": "micro",
        "used": used,
        "reserved": reserved,
        "limit_value": limit_value,
        "headroom": limit_value - taken,
        "share_bps": share,
        "is_near": share >= 8_000,
        "is_unknown": False,
    }
    return row | changed


def utilisation_rows() -> list[dict[str, object]]:
    """A firm with one limit near, the others within."""
    million = 1_000_000 * 1_000_000
    return [
        utilisation_row("gross_notional", "firm:firm", 3 * million, million // 4, 25 * million),
        utilisation_row("net_notional", "firm:firm", 2 * million, million // 4, 12 * million),
        utilisation_row("gross_notional", "desk:crypto", 3 * million, million // 4, 10 * million),
        utilisation_row("gross_notional", "strategy:twap", 3 * million, million // 3, 4 * million),
        utilisation_row("open_notional", "strategy:twap", 0, million // 4, million),
        utilisation_row("daily_loss", "desk:crypto", 18_000 * 1_000_000, 0, 250_000 * 1_000_000),
        utilisation_row("live_orders", "strategy:twap", 0, 3, 40, unit="count"),
        utilisation_row("message_count", "venue:simulated", 36, 0, 400, unit="count"),
        utilisation_row("position_long", "desk:crypto", 21_500, 800, 100_000, unit="lots", instrument="ETH-PERP"),
        utilisation_row("participation", "strategy:twap", 640, 110, 1_500, unit="bps", instrument="ETH-PERP"),
        utilisation_row("denied_count", "strategy:twap", 2, 0, 50, unit="count"),
    ]
