"""Signing in against a real database, and what is left of it when the database is away."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from controlplane.domain.clock import NS_PER_S, ManualClock
from controlplane.domain.errors import DatabaseUnavailable
from controlplane.identity.attempts import WINDOW_NS, WRONG_PER_ADDRESS_MAX
from controlplane.identity.first_accounts import write_first_passwords
from controlplane.identity.passwords import Passwords
from controlplane.identity.people import IDLE_NS_MAX
from controlplane.identity.service import FIRST_PEOPLE, FirstAccount, Identity, TooManyAttempts, WrongPassword
from tests.support.console import Recorded, SwitchableDatabase

NOW = 1_700_000_000 * NS_PER_S


class Door:
    """An identity with its two accounts, their passwords, its clock and what it recorded."""

    def __init__(self, database: SwitchableDatabase) -> None:
        self.database = database
        self.clock = ManualClock(NOW)
        self.recorded = Recorded()
        self.passwords: dict[str, str] = {}
        self.identity = self.restarted()
        self.identity.make_first_accounts(self._keep)

    def restarted(self) -> Identity:
        cheap = Passwords(time_cost=1, memory_kib=1_024)
        return Identity(self.database, record=self.recorded, clock=self.clock, passwords=cheap)

    def sign_in(self, name: str = "operator") -> str:
        return self.identity.sign_in(name, self.passwords[name], address="127.0.0.1").secret

    def _keep(self, accounts: tuple[FirstAccount, ...]) -> None:
        self.passwords = {account.person.name: account.password for account in accounts}


@pytest.fixture
def door(database_dsn: str) -> Iterator[Door]:
    with SwitchableDatabase(database_dsn, connections_max=3) as database:
        with database.transaction() as connection:
            connection.connection().execute(sqlalchemy.text("TRUNCATE account, session"))
        yield Door(database)


def test_the_first_start_makes_two_accounts_and_later_starts_none(door: Door) -> None:
    assert sorted(door.passwords) == ["operator", "risk-officer"]

    again = door.restarted().make_first_accounts(lambda _: pytest.fail("accounts were made twice"))

    assert again == ()
    assert door.recorded.kinds() == ["AccountsMade"]


def test_accounts_whose_passwords_could_not_be_handed_over_are_not_made(door: Door) -> None:
    with door.database.transaction() as connection:
        connection.connection().execute(sqlalchemy.text("TRUNCATE account, session"))

    def full_disk(_: tuple[FirstAccount, ...]) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        door.identity.make_first_accounts(full_disk)
    assert len(door.identity.make_first_accounts(lambda _: None)) == 2


def test_the_file_with_the_first_passwords_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "first-passwords.txt").write_text("an older one")

    path = write_first_passwords(tmp_path, [FirstAccount(FIRST_PEOPLE[0], "abcd-efgh")])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "operator  abcd-efgh" in path.read_text()
    assert "older" not in path.read_text()


def test_a_right_password_opens_a_session_and_is_never_recorded(door: Door) -> None:
    secret = door.sign_in()

    session = door.identity.find(secret)

    assert session is not None
    assert session.person.name == "operator"
    assert door.recorded.kinds() == ["AccountsMade", "SignedIn"]
    assert all(word not in str(door.recorded.facts) for word in (secret, *door.passwords.values()))


def test_names_are_taken_without_regard_to_case_and_space(door: Door) -> None:
    signed_in = door.identity.sign_in("  Operator ", door.passwords["operator"], address="127.0.0.1")

    assert signed_in.session.person.name == "operator"


@pytest.mark.parametrize("name", ["operator", "nobody"])
def test_a_wrong_password_and_an_unknown_name_are_refused_alike(door: Door, name: str) -> None:
    with pytest.raises(WrongPassword) as refused:
        door.identity.sign_in(name, "wrong", address="127.0.0.1")

    assert str(refused.value) == "Name and password don't belong together; check both and try again."
    assert door.recorded.facts[-1]["kind"] == "SignInRefused"


def test_after_too_many_wrong_passwords_even_the_right_one_waits(door: Door) -> None:
    for _ in range(WRONG_PER_ADDRESS_MAX):
        with pytest.raises(WrongPassword):
            door.identity.sign_in("operator", "wrong", address="127.0.0.1")

    with pytest.raises(TooManyAttempts) as refused:
        door.sign_in()
    door.clock.now_ns += WINDOW_NS

    assert refused.value.wait_seconds == WINDOW_NS // NS_PER_S
    assert door.sign_in()


def test_signing_in_again_ends_the_session_that_the_browser_had(door: Door) -> None:
    old = door.sign_in()

    door.identity.sign_in("operator", door.passwords["operator"], address="127.0.0.1", replaces=old)

    assert door.identity.find(old) is None


def test_a_session_is_known_from_memory_while_the_database_is_away_but_nobody_new_gets_in(door: Door) -> None:
    secret = door.sign_in()
    door.database.leave()

    assert door.identity.remembered(secret) is not None
    assert door.identity.find(secret) is not None
    with pytest.raises(DatabaseUnavailable):
        door.sign_in("risk-officer")
    with pytest.raises(DatabaseUnavailable):
        door.identity.find("a secret that nobody knows")


def test_a_restarted_service_recalls_running_sessions_so_that_their_people_can_stop_without_a_database(
    door: Door,
) -> None:
    running, ended = door.sign_in(), door.sign_in("risk-officer")
    door.identity.sign_out(ended)

    restarted = door.restarted()
    recalled = restarted.recall_sessions()
    door.database.leave()

    assert recalled == 1
    assert restarted.remembered(running) is not None
    assert restarted.remembered(ended) is None


def test_a_session_signed_out_while_the_database_was_away_stays_over_when_it_is_back(door: Door) -> None:
    secret = door.sign_in()
    door.database.leave()

    with pytest.raises(DatabaseUnavailable):
        door.identity.sign_out(secret)
    door.database.come_back()

    assert door.identity.find(secret) is None


def test_an_idle_session_is_over_in_memory_and_in_the_database(door: Door) -> None:
    secret = door.sign_in()

    door.clock.now_ns += IDLE_NS_MAX

    assert door.identity.remembered(secret) is None
    assert door.identity.find(secret) is None
    assert door.restarted().recall_sessions() == 0


def test_a_session_in_use_keeps_its_last_use_in_the_database_once_a_minute(door: Door) -> None:
    secret = door.sign_in()
    door.clock.now_ns += 90 * NS_PER_S
    session = door.identity.find(secret)
    assert session is not None

    door.identity.keep_seen(session)
    door.clock.now_ns += IDLE_NS_MAX - 60 * NS_PER_S

    assert door.restarted().recall_sessions() == 1
