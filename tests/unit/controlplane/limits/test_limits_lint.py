"""Limits that no route reaches and limits that never decide: found with file and key, and nothing else is."""

import pytest

from controlplane.limits.lint import Fault, Finding, findings, prove
from controlplane.policy.load import parse_policies
from controlplane.policy.schema import Policies
from tests.support.policies import AS_OF_NS, SMALL, shipped_policies, small_files, small_policies

STRATEGIES = "limits/strategies.toml"


def changed(*changes: tuple[str, str, str]) -> Policies:
    """Return the small rule book with every occurrence of some texts replaced; each must be there."""
    files = small_files()
    for file, old, new in changes:
        text = files[file].decode()
        assert old in text, f"{file} holds no {old!r}"
        files[file] = text.replace(old, new).encode()
    return parse_policies(files)


def found(policies: Policies, fault: Fault) -> list[Finding]:
    return [finding for finding in findings(policies) if finding.fault is fault]


def keys(policies: Policies, fault: Fault) -> list[str]:
    return [finding.key for finding in found(policies, fault)]


def test_shipped_and_small_rule_books_hold_no_dead_and_no_shadowed_limit() -> None:
    assert list(findings(shipped_policies())) == []
    assert keys(small_policies(), Fault.SHADOWED) == []


def test_every_route_meets_every_kind_of_limit_at_every_level_in_a_known_currency() -> None:
    proof, holes = prove(small_policies(), as_of_ns=AS_OF_NS)

    assert holes == []
    assert (proof.routes, proof.instruments, proof.currencies) == (6, 4, 3)
    assert proof.limits > 200


def test_instrument_that_no_strategy_trades_is_dead_wherever_it_has_a_limit() -> None:
    policies = changed(
        (STRATEGIES, '"BTC-PERP", "BTC-INVERSE", "ETH-PERP", "ETH-CALL"', '"BTC-PERP", "ETH-PERP", "ETH-CALL"')
    )

    dead = found(policies, Fault.DEAD)

    assert {(finding.file, finding.key) for finding in dead} == {
        ("limits/firm.toml", "firm.instruments.BTC-INVERSE"),
        ("limits/firm.toml", "instruments.BTC-INVERSE"),
        ("limits/firm.toml", "venues.SIM.instruments.BTC-INVERSE"),
        ("limits/firm.toml", "counterparties.SIM-CLEARING.instruments.BTC-INVERSE"),
        ("limits/desks.toml", "desks.crypto.instruments.BTC-INVERSE"),
        (STRATEGIES, "limit_sets.wide.instruments.BTC-INVERSE"),
        (STRATEGIES, "limit_sets.narrow.instruments.BTC-INVERSE"),
        ("limits/collars.toml", "instruments.BTC-INVERSE"),
    }
    assert all(finding.sentence.startswith(f"{finding.file}: {finding.key} binds nobody") for finding in dead)


def test_underlying_of_no_traded_instrument_is_dead() -> None:
    policies = changed((STRATEGIES, '"BTC-PERP", "BTC-INVERSE", "ETH-PERP", "ETH-CALL"', '"BTC-PERP", "BTC-INVERSE"'))

    assert "underlyings.ETH" in keys(policies, Fault.DEAD)


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        (
            "limits/desks.toml",
            'order_notional_max = "1000000"',
            'order_notional_max = "1000001"',
            "desks.crypto.order_notional_max",
        ),
        ("limits/desks.toml", "live_orders_max = 50", "live_orders_max = 51", "desks.crypto.live_orders_max"),
        (
            "limits/desks.toml",
            "message_reserve_bps = 2000",
            "message_reserve_bps = 1000",
            "desks.crypto.message_count_max",
        ),
        ("limits/desks.toml", "denied_count_max = 40", "denied_count_max = 41", "desks.crypto.denied_count_max"),
        (
            "limits/desks.toml",
            'BTC-PERP = { order_quantity_max = "20"',
            'BTC-PERP = { order_quantity_max = "20.001"',
            "desks.crypto.instruments.BTC-PERP.order_quantity_max",
        ),
        # the firm's one desk is on every route of the firm: there even what nets is the same amount
        ("limits/desks.toml", 'daily_loss_max = "400000"', 'daily_loss_max = "500001"', "desks.crypto.daily_loss_max"),
        (
            "limits/firm.toml",
            '[instruments.BTC-PERP]\norder_notional_max = "1000000"\ngross_notional_max = "10000000"',
            '[instruments.BTC-PERP]\norder_notional_max = "1000000"\ngross_notional_max = "10000001"',
            "instruments.BTC-PERP.gross_notional_max",
        ),
    ],
)
def test_limit_above_that_is_always_tighter_shadows_the_one_below(file: str, old: str, new: str, key: str) -> None:
    policies = changed((file, old, new))

    shadowed = found(policies, Fault.SHADOWED)

    assert [finding.key for finding in shadowed] == [key]
    assert all(
        "never decides, since" in finding.sentence and finding.sentence.endswith("or less.") for finding in shadowed
    )


@pytest.mark.parametrize("limit", ["gross_notional_max", "net_notional_max"])
def test_limit_whose_use_may_be_offset_elsewhere_is_not_shadowed_by_the_desk(limit: str) -> None:
    """Two strategies with opposite positions leave their desk flat, so each may meet its own larger limit."""
    text = f'{limit} = "{"10000000" if limit.startswith("gross") else "8000000"}"'

    policies = changed((STRATEGIES, text, f'{limit} = "20000000"'))

    assert keys(policies, Fault.SHADOWED) == []


def test_set_is_shadowed_only_where_it_is_for_every_scope_that_uses_it() -> None:
    """Two strategies of two desks share a set; it never decides below the tighter desk, and does below the other."""
    files = small_files()
    desks = SMALL["limits/desks.toml"].replace(
        'strategies = ["crypto/twap", "crypto/pov"]', 'strategies = ["crypto/twap"]'
    )
    other = desks.replace("desks.crypto", "desks.macro").replace("crypto/twap", "macro/pov")
    files["limits/desks.toml"] = (desks.replace("live_orders_max = 50", "live_orders_max = 49") + "\n" + other).encode()
    files[STRATEGIES] = SMALL[STRATEGIES].replace("crypto/pov", "macro/pov").encode()

    policies = parse_policies(files)
    both_tighter = parse_policies(
        files
        | {"limits/desks.toml": files["limits/desks.toml"].replace(b"live_orders_max = 50", b"live_orders_max = 48")}
    )

    assert "limit_sets.wide.live_orders_max" not in keys(policies, Fault.SHADOWED)
    assert "limit_sets.wide.live_orders_max" in keys(both_tighter, Fault.SHADOWED)


def test_equal_limits_shadow_nothing() -> None:
    assert small_policies().firm.firm.order_notional_max == small_policies().desks["crypto"].order_notional_max
    assert keys(small_policies(), Fault.SHADOWED) == []
