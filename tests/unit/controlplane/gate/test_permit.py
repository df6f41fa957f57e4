"""A permit stands for one order, one decision, one run of one gate, one fence, a short time, and one use."""

import dataclasses

import pytest

from controlplane.domain.decisions import Permit
from controlplane.domain.errors import InvalidRequest, PermitInvalid
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.gate.permit import PermitKey, SpentPermits, issue, permit_words, verify

KEY = PermitKey(gate_id=3, epoch=7, secret=bytes(range(32)))
FENCE = 11
EXPIRY_NS = 2_000
ORDER = OrderCommand(
    kind=CommandKind.NEW,
    request_id=0x101,
    child_id=0x101,
    parent_id=0x202,
    route=4,
    side=Side.SELL,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.POST_ONLY,
    quantity_lots=25,
    price_ticks=60_000,
    trigger_ticks=0,
    model_digest=99,
)
CHANGED = {
    "kind": CommandKind.AMEND,
    "request_id": 0x102,
    "child_id": 0x102,
    "parent_id": 0x203,
    "route": 5,
    "side": Side.BUY,
    "order_type": OrderType.MARKET,
    "time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL,
    "quantity_lots": 26,
    "price_ticks": 60_001,
    "trigger_ticks": 1,
    "model_digest": 98,
}


def permit_of(order: OrderCommand = ORDER, *, sequence: int = 500) -> Permit:
    return issue(order, key=KEY, sequence=sequence, expiry_ns=EXPIRY_NS, fence=FENCE)


def check(permit: Permit, order: OrderCommand = ORDER, *, now_ns: int = 1_000, fence: int = FENCE) -> None:
    verify(permit, order, key=KEY, fence=fence, now_ns=now_ns)


def test_permit_of_the_gate_stands_for_the_order_it_was_issued_for() -> None:
    permit = permit_of()

    check(permit)

    assert len(permit.code) == 16
    assert (permit.gate_id, permit.epoch, permit.sequence) == (3, 7, 500)


def test_code_is_the_published_keyed_hash_of_the_sixteen_words() -> None:
    """Fixed by hand so that the compiled gate, this code and an auditor's own script agree on one byte form."""
    words = permit_words(ORDER, gate_id=3, epoch=7, sequence=500, expiry_ns=EXPIRY_NS, fence=FENCE)

    assert words.hex() == (
        "03000000000000000700000000000000f401000000000000d007000000000000"
        "0b00000000000000010000000000000001010000000000000101000000000000"
        "02020000000000000400000000000000ffffffffffffffff0104000000000000"
        "190000000000000060ea00000000000000000000000000006300000000000000"
    )
    assert permit_of().code.hex() == "bb08999c5dfff28aa58708755e6ab81e"


@pytest.mark.case("GATE-01")
@pytest.mark.parametrize("name", sorted(CHANGED))
def test_order_that_differs_in_one_field_is_refused(name: str) -> None:
    altered = dataclasses.replace(ORDER, **{name: CHANGED[name]})

    with pytest.raises(PermitInvalid, match="altered"):
        check(permit_of(), altered)


def test_every_field_of_an_order_is_covered_by_the_permit() -> None:
    assert set(CHANGED) == {field.name for field in dataclasses.fields(OrderCommand)}


@pytest.mark.parametrize("name", ["sequence", "expiry_ns"])
def test_permit_whose_own_fields_were_changed_is_refused(name: str) -> None:
    permit = permit_of()
    altered = dataclasses.replace(permit, **{name: getattr(permit, name) + 1})

    with pytest.raises(PermitInvalid, match="altered"):
        check(altered)


def test_permit_with_one_changed_bit_in_its_code_is_refused() -> None:
    permit = permit_of()
    altered = dataclasses.replace(permit, code=bytes([permit.code[0] ^ 1]) + permit.code[1:])

    with pytest.raises(PermitInvalid, match="altered"):
        check(altered)


def test_permit_made_with_another_key_is_refused() -> None:
    forged = issue(ORDER, key=PermitKey(3, 7, bytes(32)), sequence=500, expiry_ns=EXPIRY_NS, fence=FENCE)

    with pytest.raises(PermitInvalid, match="altered"):
        check(forged)


@pytest.mark.parametrize(("gate_id", "epoch"), [(4, 7), (3, 6), (3, 8)])
def test_permit_of_another_gate_or_another_run_is_refused(gate_id: int, epoch: int) -> None:
    other = issue(ORDER, key=PermitKey(gate_id, epoch, KEY.secret), sequence=500, expiry_ns=EXPIRY_NS, fence=FENCE)

    with pytest.raises(PermitInvalid, match="gate 3, run 7"):
        check(other)


@pytest.mark.case("GATE-72")
def test_permit_is_good_until_its_last_nanosecond_and_no_longer() -> None:
    permit = permit_of()

    check(permit, now_ns=EXPIRY_NS)

    with pytest.raises(PermitInvalid, match="expired 1 ns ago"):
        check(permit, now_ns=EXPIRY_NS + 1)


@pytest.mark.case("GATE-82")
@pytest.mark.parametrize("fence", [FENCE + 1, FENCE - 1, 0])
def test_permit_from_before_the_fence_moved_is_refused(fence: int) -> None:
    with pytest.raises(PermitInvalid, match="fence"):
        check(permit_of(), fence=fence)


def test_order_with_a_number_beyond_64_bits_is_refused_not_raised_as_a_bug() -> None:
    absurd = dataclasses.replace(ORDER, quantity_lots=1 << 70)

    with pytest.raises(PermitInvalid, match="no gate"):
        check(permit_of(), absurd)


def test_key_of_the_wrong_length_is_refused_and_a_key_never_prints_its_secret() -> None:
    with pytest.raises(InvalidRequest, match="32 bytes"):
        PermitKey(0, 1, b"short")

    assert "secret" not in repr(KEY)


def test_permit_is_spent_once() -> None:
    spent = SpentPermits()

    spent.spend(permit_of(sequence=1))
    spent.spend(permit_of(sequence=2))

    with pytest.raises(PermitInvalid, match="used before"):
        spent.spend(permit_of(sequence=1))


def test_permit_too_old_to_remember_counts_as_used() -> None:
    spent = SpentPermits(spent_max=3)
    for sequence in (10, 12, 14, 16):
        spent.spend(permit_of(sequence=sequence))

    with pytest.raises(PermitInvalid, match="used before"):
        spent.spend(permit_of(sequence=10))
    with pytest.raises(PermitInvalid, match="used before"):
        spent.spend(permit_of(sequence=9))
    spent.spend(permit_of(sequence=13))


def test_memory_of_spent_permits_is_bounded() -> None:
    spent = SpentPermits(spent_max=100)
    for sequence in range(1, 5_000):
        spent.spend(permit_of(sequence=sequence))

    assert len(spent._spent) == len(spent._order) == 100


def test_a_new_run_of_the_gate_starts_afresh_and_the_old_run_is_refused() -> None:
    spent = SpentPermits()
    old = permit_of(sequence=900)
    spent.spend(old)
    next_run = issue(ORDER, key=PermitKey(3, 8, KEY.secret), sequence=5, expiry_ns=EXPIRY_NS, fence=FENCE)

    spent.spend(next_run)

    with pytest.raises(PermitInvalid, match="from run 8 on"):
        spent.spend(dataclasses.replace(old, sequence=901))


def test_permits_of_another_gate_are_refused() -> None:
    spent = SpentPermits()
    spent.spend(permit_of())

    with pytest.raises(PermitInvalid, match="gate 4"):
        spent.spend(dataclasses.replace(permit_of(sequence=501), gate_id=4))
