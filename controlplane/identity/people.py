"""People with an account, their sessions, and the book of sessions that a stop button needs when the database is
away."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

from controlplane.domain.clock import NS_PER_S

IDLE_NS_MAX = 8 * 3_600 * NS_PER_S
AGE_NS_MAX = 12 * 3_600 * NS_PER_S
SESSIONS_MAX = 2_048
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account: the name used everywhere, and how pages greet them."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser. Only the digest of its secret is kept; the secret itself lives in the cookie."""

    digest: bytes
    person: Person
    started_ns: int
    seen_ns: int

    def is_alive(self, now_ns: int) -> bool:
        """Whether neither the idle nor the absolute limit has passed."""
        return now_ns - self.seen_ns < IDLE_NS_MAX and now_ns - self.started_ns < AGE_NS_MAX


def make_secret() -> str:
    """A session's secret of 256 random bits."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    """What is kept of a session's secret; a plain hash is enough, since nobody guesses 256 bits."""
    return hashlib.sha256(secret.encode()).digest()


def form_token(secret: str) -> str:
    """The token that a form carries to prove that one of our pages showed it to this session.

    Derived from the secret alone, so that a page opened before a restart of the service can still stop.
    """
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def is_form_token(token: str, secret: str) -> bool:
    """Whether the token belongs to the session, compared in constant time."""
    return hmac.compare_digest(token.encode(), form_token(secret).encode())


class SessionBook:
    """Sessions that this process knows without asking the database; at most 2,048, the longest unused leave first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._ended: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def remember(self, session: Session) -> None:
        """Know this session from now on; one that was ended here stays unknown."""
        with self._lock:
            if session.digest in self._ended:
                return
            self._sessions[session.digest] = session
            self._sessions.move_to_end(session.digest)
            while len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)

    def find(self, digest: bytes, *, now_ns: int) -> Session | None:
        """The session with this digest if it is alive, marked as seen now."""
        with self._lock:
            session = self._sessions.get(digest)
            if session is None:
                return None
            if not session.is_alive(now_ns):
                del self._sessions[digest]
                return None
            seen = replace(session, seen_ns=now_ns)
            self._sessions[digest] = seen
            self._sessions.move_to_end(digest)
            return seen

    def end(self, digest: bytes) -> None:
        """Know it no longer, and don't learn of it again, even if the database could not be told of its end."""
        with self._lock:
            self._sessions.pop(digest, None)
            self._ended[digest] = None
            while len(self._ended) > SESSIONS_MAX:
                self._ended.popitem(last=False)

    def is_ended(self, digest: bytes) -> bool:
        """Whether the session was ended by this process."""
        with self._lock:
            return digest in self._ended

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)
