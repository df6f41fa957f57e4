"""One-time keys: the second press of the same form, or a resent request, gets the first one's result."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from controlplane.domain.errors import InvalidRequest

KEY_LENGTH_MIN = 16
KEY_LENGTH_MAX = 64
KEYS_MAX = 4_096
WAIT_SECONDS_MAX = 30.0

T = TypeVar("T")


def make_key() -> str:
    """A key for one form as it is shown."""
    return secrets.token_urlsafe(18)


def checked_key(text: str) -> str:
    """The key that came with a form.

    Errors
        InvalidRequest when there is none or it can't be one
    """
    if not KEY_LENGTH_MIN <= len(text) <= KEY_LENGTH_MAX or not text.isascii() or not text.isprintable():
        raise InvalidRequest(
            f"Expected a one-time key of {KEY_LENGTH_MIN} to {KEY_LENGTH_MAX} plain characters, found {len(text)}; "
            "reload "
            "the page and press again.",
            field="key",
        )
    return text


class OnceOnly(Generic[T]):
    """Runs an action at most once for each key; remembers 4,096 results."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Future[T]] = OrderedDict()
        self._lock = Lock()

    def run(self, key: str, action: Callable[[], T]) -> T:
        """The action's result, or that of the first run under this key, waited for if it is still going on.

        Errors
            whatever the action raised; a failed action may be tried again under its key
        """
        with self._lock:
            known = self._results.get(key)
            if known is None:
                mine: Future[T] = Future()
                self._results[key] = mine
                while len(self._results) > KEYS_MAX:
                    self._results.popitem(last=False)
        if known is not None:
            return known.result(timeout=WAIT_SECONDS_MAX)
        try:
            result = action()
        except BaseException as error:
            with self._lock:
                self._results.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(result)
        return result
