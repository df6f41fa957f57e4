"""Signing in, staying signed in, signing out, and the accounts of the first start."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from controlplane.domain.clock import NS_PER_S, Clock
from controlplane.domain.errors import DatabaseUnavailable, NotPermitted, StateConflict
from controlplane.identity import store
from controlplane.identity.attempts import WrongAttempts
from controlplane.identity.passwords import Passwords, make_password
from controlplane.identity.people import (
    AGE_NS_MAX,
    SESSIONS_MAX,
    Person,
    Session,
    SessionBook,
    digest_of,
    make_secret,
)
from controlplane.runtime.database import Database

# Two people, so that lifting a halt takes both from the first day.
FIRST_PEOPLE = (Person("operator", "Operator"), Person("risk-officer", "Risk officer"))
SEEN_KEPT_EVERY_NS = 60 * NS_PER_S
NAME_LENGTH_MAX = 64

Recorder = Callable[[Mapping[str, object]], object]


class WrongPassword(NotPermitted):
    """Name and password don't belong together; says no more than that."""


class TooManyAttempts(NotPermitted):
    """Too many wrong passwords; carries how long to wait."""

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(
            f"Too many wrong passwords; the next try is looked at in {wait_seconds} s.", rule="sign-in-attempts"
        )
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session with the secret that only its cookie may hold."""

    session: Session
    secret: str


@dataclass(frozen=True, slots=True)
class FirstAccount:
    """An account made at the first start, with the only readable copy of its password."""

    person: Person
    password: str


class Identity:
    """Everything the doors ask about people.

    Arguments
        database   where accounts and sessions are kept
        record     writes one entry to the journal; called before the effect
        clock      wall time
        passwords  how passwords are hashed and compared
    """

    def __init__(self, database: Database, *, record: Recorder, clock: Clock, passwords: Passwords) -> None:
        self._database = database
        self._record = record
        self._clock = clock
        self._passwords = passwords
        self._attempts = WrongAttempts()
        self._kept_ns: dict[bytes, int] = {}
        self._kept_lock = threading.Lock()
        self.book = SessionBook()

    def make_first_accounts(
        self, hand_over: Callable[[tuple[FirstAccount, ...]], object]
    ) -> tuple[FirstAccount, ...]:
        """The accounts made now, because there was none; empty on every later start.

        Arguments
            hand_over  gets them before they count, so that no password can be lost; when it raises, none is made
        """
        with self._database.transaction() as connection:
            if store.count_accounts(connection):
                return ()
            now_ns = self._clock.wall_ns()
            made = tuple(FirstAccount(person, make_password()) for person in FIRST_PEOPLE)
            self._record({"kind": "AccountsMade", "names": [person.name for person in FIRST_PEOPLE]})
            for account in made:
                hashed = self._passwords.hash(account.password)
                store.add_account(connection, account.person, password_hash=hashed, created_ns=now_ns)
            hand_over(made)
        return made

    def is_database_reachable(self) -> bool:
        """Whether accounts and sessions can be asked for now."""
        return self._database.is_reachable()

    def recall_sessions(self) -> int:
        """How many running sessions were taken into memory, so that their people can stop if the database goes."""
        after_ns = self._clock.wall_ns() - AGE_NS_MAX
        with self._database.transaction() as connection:
            sessions = store.running_sessions(connection, started_after_ns=after_ns, limit=SESSIONS_MAX)
        now_ns = self._clock.wall_ns()
        alive = [session for session in reversed(sessions) if session.is_alive(now_ns)]
        for session in alive:
            self.book.remember(session)
        return len(alive)

    def sign_in(self, name: str, password: str, *, address: str, replaces: str | None = None) -> SignedIn:
        """A new session.

        Arguments
            replaces  secret of the session that this browser had until now; it ends
        Errors
            WrongPassword        name and password don't belong together
            TooManyAttempts      wrong ones were tried too often
            DatabaseUnavailable  nobody new can sign in while the database is away
        """
        now_ns = self._clock.wall_ns()
        name = name.strip().lower()[:NAME_LENGTH_MAX]
        wait_seconds = self._attempts.wait_seconds(account=name, address=address, now_ns=now_ns)
        if wait_seconds:
            raise TooManyAttempts(wait_seconds)
        with self._database.transaction() as connection:
            # A name with control characters is nobody's, and the database would not even look for it.
            account = store.find_account(connection, name) if name.isprintable() else None
        if not self._passwords.matches(password, account.password_hash if account else None) or account is None:
            self._attempts.note(account=name, address=address, now_ns=now_ns)
            self._record({"kind": "SignInRefused", "name": name, "address": address})
            raise WrongPassword("Name and password don't belong together; check both and try again.", rule="sign-in")
        self._attempts.forget(account=name, address=address)
        secret = make_secret()
        session = Session(digest_of(secret), account.person, started_ns=now_ns, seen_ns=now_ns)
        self._record({"kind": "SignedIn", "name": account.person.name, "address": address})
        with self._database.transaction() as connection:
            store.add_session(connection, session, address=address)
        self.book.remember(session)
        if replaces is not None:
            self.sign_out(replaces)
        return SignedIn(session, secret)

    def remembered(self, secret: str) -> Session | None:
        """The session of this secret as memory knows it; asks nobody else and never waits."""
        return self.book.find(digest_of(secret), now_ns=self._clock.wall_ns())

    def find(self, secret: str) -> Session | None:
        """The session of this secret, from memory or else from the database; None when there is no living one."""
        digest = digest_of(secret)
        now_ns = self._clock.wall_ns()
        session = self.book.find(digest, now_ns=now_ns)
        if session is None and not self.book.is_ended(digest):
            with self._database.transaction() as connection:
                kept = store.find_session(connection, digest)
            if kept is None or not kept.is_alive(now_ns):
                return None
            session = replace(kept, seen_ns=now_ns)
            self.book.remember(session)
        return session

    def keep_seen(self, session: Session) -> None:
        """Let the database know that the session is in use, at most once a minute; its absence changes nothing."""
        with self._kept_lock:
            if session.seen_ns - self._kept_ns.get(session.digest, 0) < SEEN_KEPT_EVERY_NS:
                return
            self._kept_ns[session.digest] = session.seen_ns
            if len(self._kept_ns) > SESSIONS_MAX:
                self._kept_ns.clear()
        try:
            with self._database.transaction() as connection:
                store.mark_seen(connection, session.digest, seen_ns=session.seen_ns)
        except (DatabaseUnavailable, StateConflict):
            # A session known from memory goes on; the time of last use is kept with the next request.
            with self._kept_lock:
                self._kept_ns.pop(session.digest, None)

    def sign_out(self, secret: str) -> None:
        """Return once the session of this secret is over, in memory first: that holds with the database away too.

        Errors
            JournalUnavailable, DatabaseUnavailable  its end could not be kept; this process knows it no longer all the
            same
        """
        digest = digest_of(secret)
        session = self.book.find(digest, now_ns=self._clock.wall_ns())
        self.book.end(digest)
        try:
            if session is not None:
                self._record({"kind": "SignedOut", "name": session.person.name})
        finally:
            with self._database.transaction() as connection:
                store.end_session(connection, digest, ended_ns=self._clock.wall_ns())
