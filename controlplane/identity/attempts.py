"""How often somebody may try to sign in: wrong passwords are counted by account and by address, in a sliding window."""

from collections import OrderedDict, deque

from controlplane.domain.clock import NS_PER_S

WINDOW_NS = 300 * NS_PER_S
# An address is shut out before an account is, so that a stranger can't easily lock a person out of the stop button.
WRONG_PER_ADDRESS_MAX = 10
WRONG_PER_ACCOUNT_MAX = 30
KEYS_MAX = 4_096


class WrongAttempts:
    """Wrong sign-ins of the last five minutes; holds at most 4,096 keys, the oldest leave first."""

    def __init__(self) -> None:
        self._moments: OrderedDict[str, deque[int]] = OrderedDict()

    def wait_seconds(self, *, account: str, address: str, now_ns: int) -> int:
        """How long to wait before the next try is looked at; 0 when it may be made now."""
        return max(
            self._wait_seconds(f"account {account}", WRONG_PER_ACCOUNT_MAX, now_ns),
            self._wait_seconds(f"address {address}", WRONG_PER_ADDRESS_MAX, now_ns),
        )

    def note(self, *, account: str, address: str, now_ns: int) -> None:
        """Count one wrong try."""
        self._note(f"account {account}", WRONG_PER_ACCOUNT_MAX, now_ns)
        self._note(f"address {address}", WRONG_PER_ADDRESS_MAX, now_ns)

    def forget(self, *, account: str, address: str) -> None:
        """Start afresh after a right password."""
        self._moments.pop(f"account {account}", None)
        self._moments.pop(f"address {address}", None)

    def _wait_seconds(self, key: str, limit: int, now_ns: int) -> int:
        moments = self._moments.get(key)
        if moments is None:
            return 0
        recent = [moment for moment in moments if now_ns - moment < WINDOW_NS]
        if len(recent) < limit:
            return 0
        return max(1, (recent[0] + WINDOW_NS - now_ns + NS_PER_S - 1) // NS_PER_S)

    def _note(self, key: str, limit: int, now_ns: int) -> None:
        moments = self._moments.setdefault(key, deque(maxlen=limit))
        moments.append(now_ns)
        self._moments.move_to_end(key)
        while len(self._moments) > KEYS_MAX:
            self._moments.popitem(last=False)
