"""What the rule book lets through, a gate can load; what a gate couldn't hold, the rule book refuses first."""

import pytest

from controlplane.domain.errors import PolicyInvalid
from controlplane.gate.kernel.arrays import BANDS, PRODUCT_MAX, Capacity
from controlplane.gate.kernel.loading import build_state
from controlplane.limits.compile import compile_snapshot
from controlplane.policy.load import parse_policies
from controlplane.policy.market import TICK_BANDS_MAX, WORTH_CAP
from tests.support.policies import AS_OF_NS, shipped_snapshot, small_files_with, small_snapshot

CAPACITY = Capacity(orders=64, parents=8, requests=64, executions=64)

# Largest price and quantity at which the worth of an order still fits 60 bits: 100 millionths a tick and lot for the
# linear contract, 1,000 x 10^9 thousand-millionths a lot at one tick for the inverse one.
BOUNDARIES = [
    ('price_max = "1000000"', 'price_max = "1152921504.6"', 'price_max = "1152921504.7"'),
    ('quantity_max = "1000000"', 'quantity_max = "1152921"', 'quantity_max = "1152922"'),
]


def test_gate_loads_the_shipped_and_the_small_limits() -> None:
    shipped = build_state(shipped_snapshot(), CAPACITY)
    small = build_state(small_snapshot(), CAPACITY)

    assert len(shipped.handles.routes) == 32
    assert shipped.handles.scopes[0] == small.handles.scopes[0] == "firm:firm"


def test_gate_and_rule_book_hold_the_same_caps() -> None:
    assert (TICK_BANDS_MAX, WORTH_CAP) == (BANDS, PRODUCT_MAX)


@pytest.mark.parametrize(("old", "largest", "too_large"), BOUNDARIES)
def test_the_largest_instrument_that_loads_is_the_largest_that_a_gate_can_value(
    old: str, largest: str, too_large: str
) -> None:
    policies = parse_policies(small_files_with("instruments.toml", old, largest))

    state = build_state(compile_snapshot(policies, as_of_ns=AS_OF_NS, version=1), CAPACITY)

    assert state.snapshot.version == 1
    with pytest.raises(PolicyInvalid, match="whose largest order can be valued exactly"):
        parse_policies(small_files_with("instruments.toml", old, too_large))
