"""The permit: a keyed code over one exact order, worth one send, checked by the adapter and by nobody else.

The compiled kernel makes the same code from the same 16 words; `issue` is that computation written plainly and judges
it. A permit is void when any word differs, when its time is over, when the fence of the machine has moved (a kill or a
restart), and when it was used.
"""

import hashlib
import hmac
import struct
from collections import deque
from dataclasses import dataclass, field

from controlplane.domain.decisions import Permit
from controlplane.domain.errors import InvalidRequest, PermitInvalid
from controlplane.domain.ids import to_text
from controlplane.domain.orders import OrderCommand

KEY_BYTES = 32
CODE_BYTES = 16
# How many spent permits an adapter remembers; an older one that it no longer remembers is refused all the same.
SPENT_MAX = 1 << 16

_MESSAGE = struct.Struct("<16q")


@dataclass(frozen=True, slots=True)
class PermitKey:
    """The secret of one run of one gate; it leaves the gate's process only for adapters of the same user."""

    gate_id: int
    epoch: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise InvalidRequest(
                f"A permit key is {KEY_BYTES} bytes, found {len(self.secret)}; ask the gate for its key again.",
                field="secret",
            )


def permit_words(
    command: OrderCommand, *, gate_id: int, epoch: int, sequence: int, expiry_ns: int, fence: int
) -> bytes:
    """Return the 128 bytes that a permit's code is computed over: gate, run, decision, order, in this order."""
    return _MESSAGE.pack(
        gate_id,
        epoch,
        sequence,
        expiry_ns,
        fence,
        command.kind,
        command.request_id,
        command.child_id,
        command.parent_id,
        command.route,
        command.side,
        command.order_type | command.time_in_force << 8,
        command.quantity_lots,
        command.price_ticks,
        command.trigger_ticks,
        command.model_digest,
    )


def issue(command: OrderCommand, *, key: PermitKey, sequence: int, expiry_ns: int, fence: int) -> Permit:
    """Return the permit for exactly this order under this decision."""
    words = permit_words(
        command, gate_id=key.gate_id, epoch=key.epoch, sequence=sequence, expiry_ns=expiry_ns, fence=fence
    )
    return Permit(key.gate_id, key.epoch, sequence, expiry_ns, fence, _code(words, key))


def verify(permit: Permit, command: OrderCommand, *, key: PermitKey, fence: int, now_ns: int) -> None:
    """Return when the permit stands for this order, here and now.

    Arguments
        key     the gate's key of today
        fence   the machine's fence of this instant, read from the switch
        now_ns  wall time, nanoseconds
    Errors
        PermitInvalid with the one reason that was found first
    """
    order = to_text(command.child_id)
    if (permit.gate_id, permit.epoch) != (key.gate_id, key.epoch):
        raise PermitInvalid(
            f"Order {order}: expected a permit of gate {key.gate_id}, run {key.epoch}, "
            f"found one of gate {permit.gate_id}, run {permit.epoch}; ask the gate again."
        )
    if permit.fence != fence:
        raise PermitInvalid(
            f"Order {order}: expected a permit under fence {fence}, found one under {permit.fence}; "
            "a stop or a restart came between, ask the gate again."
        )
    if now_ns > permit.expiry_ns:
        late_ns = now_ns - permit.expiry_ns
        raise PermitInvalid(f"Order {order}: the permit expired {late_ns} ns ago; ask the gate again.")
    try:
        words = permit_words(
            command,
            gate_id=permit.gate_id,
            epoch=permit.epoch,
            sequence=permit.sequence,
            expiry_ns=permit.expiry_ns,
            fence=permit.fence,
        )
    except struct.error:
        raise PermitInvalid(
            f"Order {order}: expected an order whose numbers fit 64 bits, found one that no gate can have seen; "
            "correct the program that made it."
        ) from None
    if not hmac.compare_digest(_code(words, key), permit.code):
        raise PermitInvalid(
            f"Order {order}: expected the code of decision {permit.sequence} over exactly this order, found another; "
            "the order or the permit was altered, so stop and look."
        )


class SpentPermits:
    """What an adapter has used up, for one run of one gate, in bounded memory.

    Remembers the last `spent_max` decisions. When one is forgotten, every decision up to it counts as used.
    """

    def __init__(self, spent_max: int = SPENT_MAX) -> None:
        self._spent_max = spent_max
        self._run: tuple[int, int] | None = None
        self._order: deque[int] = deque()
        self._spent: set[int] = set()
        self._forgotten = 0

    def spend(self, permit: Permit) -> None:
        """Use the permit up.

        Errors
            PermitInvalid when it was used before, may have been (too old to tell), or belongs to an earlier run
        """
        run = (permit.gate_id, permit.epoch)
        if self._run is not None and run != self._run:
            self._change_run(permit)
        self._run = run
        if permit.sequence in self._spent or permit.sequence <= self._forgotten:
            raise PermitInvalid(
                f"The permit of decision {permit.sequence} was used before; one permit sends one order once, "
                "ask the gate again."
            )
        self._spent.add(permit.sequence)
        self._order.append(permit.sequence)
        if len(self._order) > self._spent_max:
            oldest = self._order.popleft()
            self._spent.remove(oldest)
            self._forgotten = max(self._forgotten, oldest)

    def _change_run(self, permit: Permit) -> None:
        gate_id, epoch = self._run or (permit.gate_id, 0)
        if permit.gate_id != gate_id or permit.epoch < epoch:
            raise PermitInvalid(
                f"Expected permits of gate {gate_id} from run {epoch} on, found one of gate {permit.gate_id}, "
                f"run {permit.epoch}; ask the gate again."
            )
        self._order.clear()
        self._spent.clear()
        self._forgotten = 0


def _code(words: bytes, key: PermitKey) -> bytes:
    return hashlib.blake2b(words, key=key.secret, digest_size=CODE_BYTES).digest()
