"""Breakers of a rule book compiled: patterns become scopes, units become the gate's, the dead-man three steps."""

import pytest

from controlplane.domain.errors import PolicyInvalid
from controlplane.domain.measures import Measure
from controlplane.domain.scopes import parse_scope
from controlplane.domain.states import TradingState
from controlplane.gate.breakers.rules import NONE, BreakerRule
from controlplane.limits.breakers import is_supervised
from controlplane.limits.compile import compile_again, compile_snapshot
from controlplane.policy.load import parse_policies
from controlplane.policy.reactions import SCALES
from tests.support.policies import AS_OF_NS, small_files, small_policies

RECOVERY = """
[recoveries.slow]
open_ms_min = 60000
clean_ms = 10000
probation_ms = 60000
probation_bps = 1000
retrip_ms = 600000
top = "pause"
is_latched = false
"""
KEYS = {
    "description": '"a breaker of the test"', "measure": '"drawdown"', "scope": '"strategy:*"', "trip_at": '"1000.5"',
    "clear_at": '"10"', "hard_at": '"none"', "is_below": "false", "readings_min": "3", "hold_ms": "0",
    "window_ms": "0", "is_daily": "true", "action": '"pause"', "size_bps": "10000", "recovery": '"slow"',
}  # fmt: skip


def with_breaker(**changes: str) -> dict[str, bytes]:
    """Return the small rule book with one breaker."""
    lines = "".join(f"{key} = {value}\n" for key, value in (KEYS | changes).items())
    text = f'in_force = ["own"]\n{RECOVERY}\n[breakers.own]\n{lines}'
    return small_files() | {"breakers.toml": text.encode()}


def rules(**changes: str) -> tuple[BreakerRule, ...]:
    return compile_snapshot(parse_policies(with_breaker(**changes)), as_of_ns=AS_OF_NS, version=1).breakers


def refusal(files: dict[str, bytes]) -> str:
    with pytest.raises(PolicyInvalid) as refused:
        parse_policies(files)
    return str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "scopes"),
    [
        ("strategy:*", ["strategy:crypto/pov", "strategy:crypto/twap"]),
        ("strategy:crypto/t*", ["strategy:crypto/twap"]),
        ("model:crypto/pov/impact", ["model:crypto/pov/impact"]),
        ("firm:firm", ["firm:firm"]),
    ],
)
def test_a_pattern_means_every_scope_that_begins_so(pattern: str, scopes: list[str]) -> None:
    assert [str(rule.scope) for rule in rules(scope=f'"{pattern}"')] == scopes


def test_money_times_and_states_are_the_gate_s() -> None:
    rule = rules()[1]

    assert (rule.trip_at, rule.clear_at, rule.hard_at) == (1_000_500_000, 10_000_000, NONE)
    assert (rule.action, rule.top) == (int(TradingState.PAUSED), int(TradingState.PAUSED))
    assert (rule.open_ns_min, rule.clean_ns, rule.probation_ns, rule.retrip_ns) == tuple(
        seconds * 10**9 for seconds in (60, 10, 60, 600)
    )


def test_thresholds_round_so_that_a_breaker_trips_earlier() -> None:
    above = rules(measure='"slippage"', trip_at='"10.999"', clear_at='"1.001"')[0]
    low = {"measure": '"volatility"', "scope": '"firm:firm"', "is_below": "true"}
    below = rules(**low, trip_at='"0.10001"', clear_at='"0.2"')[0]

    assert (above.trip_at, above.clear_at) == (1_099, 100)
    assert below.trip_at == 1_001


def test_lots_are_counted_in_the_instrument_s_own() -> None:
    (rule,) = rules(measure='"filled-lots"', scope='"instrument:ETH-PERP"', trip_at='"2"', clear_at='"1"',
                    window_ms="1000")  # fmt: skip

    assert (rule.trip_at, rule.window_ns) == (2_000, 10**9)


def test_every_measure_has_its_unit() -> None:
    assert set(SCALES) == set(Measure)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"clear_at": '"2000"'}, "a clear_at on the good side of trip_at"),
        ({"hard_at": '"5"'}, "a hard_at beyond trip_at"),
        ({"window_ms": "5"}, "a window_ms exactly for what is counted in a window"),
        ({"measure": '"slippage"', "hold_ms": "5"}, "a hold_ms of 0 for what happens once"),
        ({"measure": '"participation"'}, "a scope instrument:... for a share of the volume"),
        ({"measure": '"clock-step"'}, "the scope firm:firm for clocks and signs of life"),
        ({"measure": '"mood"'}, "one of filled-notional, filled-lots"),
        ({"scope": '"parent:*"'}, "a parent order has its strategy's breakers"),
        ({"scope": '"nowhere"'}, 'a scope such as "desk:crypto"'),
        ({"scope": '"desk:bonds"'}, 'names "desk:bonds", which the rule book doesn\'t define'),
        ({"recovery": '"fast"'}, 'names "fast", which breakers.toml doesn\'t define'),
        ({"measure": '"spread"'}, 'names "spread", which telemetry.toml doesn\'t define'),
    ],
)
def test_a_breaker_that_contradicts_itself_or_leads_nowhere_is_refused(changes: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(with_breaker(**changes))


def test_a_file_from_which_a_breaker_was_lost_is_refused() -> None:
    files = with_breaker()
    files["breakers.toml"] = files["breakers.toml"].replace(b'["own"]', b'["own", "lost"]')

    assert 'each table with its name in in_force ("lost")' in refusal(files)


def test_the_dead_man_is_there_for_a_supervised_gate_alone_and_halts_where_it_may() -> None:
    alone = compile_snapshot(small_policies(), as_of_ns=AS_OF_NS, version=1)
    supervised = compile_snapshot(small_policies(), as_of_ns=AS_OF_NS, version=1, has_supervisor=True)

    steps = [(rule.name, rule.trip_at // 10**9, TradingState(rule.action).name) for rule in supervised.breakers]
    assert alone.breakers == ()
    assert steps[:5] == [
        ("supervisor-silent-reduce-only", 5, "REDUCE_ONLY"),
        ("supervisor-silent-paused", 20, "PAUSED"),
        ("supervisor-silent-halted", 60, "HALTED"),
        ("market-data-silent-reduce-only", 5, "REDUCE_ONLY"),
        ("market-data-silent-paused", 20, "PAUSED"),
    ]
    assert len(steps) == 10
    assert {rule.scope for rule in supervised.breakers} == {parse_scope("firm:firm")}


def test_a_recorded_snapshot_is_compiled_again_with_its_dead_man() -> None:
    supervised = compile_snapshot(small_policies(), as_of_ns=AS_OF_NS, version=3, has_supervisor=True)

    assert is_supervised(supervised)
    assert compile_again(small_policies(), supervised).digest() == supervised.digest()
