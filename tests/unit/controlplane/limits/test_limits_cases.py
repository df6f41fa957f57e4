"""The cases beside the rule book hold, and each of them would fail if its limit were another."""

import dataclasses
import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from controlplane.gate.snapshot import NO_LIMIT, Snapshot
from controlplane.limits.cases import Result, run_cases, uncovered
from controlplane.limits.compile import compile_snapshot
from controlplane.limits.kinds import KINDS, Direction, Home, LimitKind
from controlplane.policy.cases import Case, CasesFile
from controlplane.policy.load import load_cases
from tests.support.policies import SHIPPED, shipped_policies

PERPETUAL = "cases/perpetual.toml"
# What a limit is changed to: nothing passes, or nothing is held back by it.
NOTHING, EVERYTHING = "nothing", "everything"


@functools.cache
def files() -> dict[str, CasesFile]:
    return load_cases(SHIPPED)


@functools.cache
def snapshot_of(file: str) -> Snapshot:
    at_ns = int(files()[file].at.timestamp()) * 10**9
    return compile_snapshot(shipped_policies(), as_of_ns=at_ns, version=1)


def run(
    wanted: Callable[[Case], bool] = lambda _case: True,
    limits: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
    changed: Callable[[Case], Case] = lambda case: case,
) -> list[Result]:
    """Return the results of some of the shipped cases, under other limits or expecting something else."""
    return [
        result
        for file, found in files().items()
        for result in run_cases(
            limits(snapshot_of(file)), file, found.route, [changed(case) for case in found.cases if wanted(case)]
        )
    ]


def with_limit(kind: LimitKind, permitting: str) -> Callable[[Snapshot], Snapshot]:
    """Return what sets one kind of limit at every scope so that it permits nothing, or everything."""
    is_smaller_tighter = kind.direction is Direction.SMALLER_IS_TIGHTER
    small, large = 0, 1 << 40 if kind.home is Home.INSTRUMENT_RULES else NO_LIMIT
    if kind.name == "collar":
        large = 9_999
    if not is_smaller_tighter:
        large = 9_999
    value = small if is_smaller_tighter == (permitting == NOTHING) else large

    def changed(snapshot: Snapshot) -> Snapshot:
        field = {kind.snapshot_field: value}
        match kind.home:
            case Home.SCOPE:
                nodes = tuple(
                    dataclasses.replace(node, limits=dataclasses.replace(node.limits, **field))
                    for node in snapshot.nodes
                )
                parents = tuple(
                    (name, dataclasses.replace(parent, limits=dataclasses.replace(parent.limits, **field)))
                    for name, parent in snapshot.parent_limits
                )
                return dataclasses.replace(snapshot, nodes=nodes, parent_limits=parents)
            case Home.SCOPE_AND_INSTRUMENT:
                nodes = tuple(
                    dataclasses.replace(
                        node,
                        instrument_limits=tuple(
                            (name, dataclasses.replace(line, **field)) for name, line in node.instrument_limits
                        ),
                    )
                    for node in snapshot.nodes
                )
                return dataclasses.replace(snapshot, nodes=nodes)
            case Home.PARENT:
                return dataclasses.replace(
                    snapshot,
                    parent_limits=tuple(
                        (name, dataclasses.replace(parent, **field)) for name, parent in snapshot.parent_limits
                    ),
                )
        rules = tuple(dataclasses.replace(rule, **field) for rule in snapshot.instruments)
        return dataclasses.replace(snapshot, instruments=rules)

    return changed


def test_every_shipped_case_holds() -> None:
    results = run()

    assert [result.problem for result in results if result.problem] == []
    assert len(results) >= 2 * len(KINDS)


def test_every_kind_of_limit_has_a_case_that_must_pass_and_one_that_must_not() -> None:
    assert uncovered(run()) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_case_that_must_not_pass_fails_where_its_limit_holds_nothing_back(kind: LimitKind) -> None:
    results = run(lambda case: (case.limit, case.expect) == (kind.policy_key, "deny"), with_limit(kind, EVERYTHING))

    assert results
    assert all(result.problem for result in results)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_case_that_must_pass_fails_where_its_limit_permits_nothing(kind: LimitKind) -> None:
    results = run(lambda case: (case.limit, case.expect) == (kind.policy_key, "allow"), with_limit(kind, NOTHING))

    assert results
    assert all(result.problem for result in results)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"largest_passing": Decimal(9)},
            "expected the largest passing quantity 9, found 10.000: The quantity 10,001 lots",
        ),
        ({"scope": "desk:crypto"}, "expected the scope desk:crypto, found strategy:crypto/twap: The quantity"),
        (
            {"codes": ("ORDER_NOTIONAL_ABOVE_LIMIT",)},
            "expected the checks ORDER_NOTIONAL_ABOVE_LIMIT, found ORDER_QUANTITY_ABOVE_LIMIT: The quantity",
        ),
        ({"expect": "allow"}, "expected the order allowed, found it denied: The quantity 10,001 lots"),
        ({"limit": "live_orders_max"}, "expected a denial that live_orders_max leads to, found ORDER_QUANTITY"),
    ],
)
def test_wrong_expectation_is_one_sentence_with_file_and_case(change: dict[str, Any], says: str) -> None:
    results = run(
        lambda case: (case.limit, case.expect) == ("order_quantity_max", "deny"),
        changed=lambda case: case.model_copy(update=change),
    )

    assert [result.problem.partition(": expected")[0] for result in results] == [
        f'{PERPETUAL}: case "An order of one lot more is denied."'
    ]
    assert says in results[0].problem
    assert "\n" not in results[0].problem


def test_order_that_must_be_denied_and_passes_is_told() -> None:
    results = run(
        lambda case: (case.limit, case.expect) == ("order_quantity_max", "allow"),
        changed=lambda case: case.model_copy(
            update={"expect": "deny", "codes": ("PRICE_OFF_TICK",), "scope": "parent"}
        ),
    )

    assert results[0].problem.endswith(
        "expected the order denied with PRICE_OFF_TICK, found it allowed; correct limit or case."
    )


def test_step_that_does_not_go_through_is_named() -> None:
    def larger(case: Case) -> Case:
        step = case.steps[0].model_copy(update={"quantity": Decimal(11)})
        return case.model_copy(update={"steps": (step,)})

    results = run(lambda case: (case.limit, case.expect) == ("position_long_max", "allow"), changed=larger)

    assert "step 1 (hold) must go through, and is denied: The quantity 11,000 lots" in results[0].problem


def test_route_or_quantity_that_the_rule_book_does_not_know_fails_the_case_alone() -> None:
    def off_grid(case: Case) -> Case:
        return case.model_copy(update={"order": case.order.model_copy(update={"quantity": Decimal("0.0001")})})

    wrong = run(lambda case: case.limit == "spread_bps_max", changed=off_grid)
    found = files()[PERPETUAL]
    lost = list(
        run_cases(
            snapshot_of(PERPETUAL), PERPETUAL, found.route.model_copy(update={"venue": "DEMO-SIM"}), found.cases[:1]
        )
    )

    assert all("off the grid" in result.problem for result in wrong)
    assert "Expected a route that the gate's limits name" in lost[0].problem


def test_kind_without_a_case_and_case_of_no_kind_are_named() -> None:
    results = run(
        lambda case: case.limit == "order_quantity_max", changed=lambda case: case.model_copy(update={"limit": "luck"})
    )

    told = uncovered(results)

    assert told[0].endswith("shows luck, which is no key of a limit; correct it.")
    assert any(one.startswith("order_quantity_max has no case that must deny") for one in told)
    assert len(told) == len(results) + 2 * len(KINDS)
