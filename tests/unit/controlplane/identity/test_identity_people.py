"""Sessions, form tokens, the book of sessions, and wrong attempts."""

from controlplane.domain.clock import NS_PER_S
from controlplane.identity.access import Caller, host_of, is_own_host
from controlplane.identity.attempts import (
    KEYS_MAX,
    WINDOW_NS,
    WRONG_PER_ACCOUNT_MAX,
    WRONG_PER_ADDRESS_MAX,
    WrongAttempts,
)
from controlplane.identity.people import (
    AGE_NS_MAX,
    IDLE_NS_MAX,
    SESSIONS_MAX,
    Person,
    Session,
    SessionBook,
    digest_of,
    form_token,
    is_form_token,
    make_secret,
)

OPERATOR = Person("operator", "Operator")
NOW = 1_700_000_000 * NS_PER_S


def session(secret: str = "secret", *, started_ns: int = NOW) -> Session:
    return Session(digest_of(secret), OPERATOR, started_ns=started_ns, seen_ns=started_ns)


def test_a_session_ends_after_its_idle_limit_and_after_its_absolute_limit() -> None:
    fresh = session()

    assert fresh.is_alive(NOW + IDLE_NS_MAX - 1)
    assert not fresh.is_alive(NOW + IDLE_NS_MAX)
    in_use = Session(fresh.digest, OPERATOR, started_ns=NOW, seen_ns=NOW + AGE_NS_MAX - 1)
    assert in_use.is_alive(NOW + AGE_NS_MAX - 1)
    assert not in_use.is_alive(NOW + AGE_NS_MAX)


def test_using_a_session_moves_its_idle_limit_but_not_its_absolute_one() -> None:
    book = SessionBook()
    book.remember(session())

    moment = NOW
    while moment < NOW + AGE_NS_MAX - IDLE_NS_MAX // 2:
        assert book.find(digest_of("secret"), now_ns=moment) is not None
        moment += IDLE_NS_MAX // 2

    assert book.find(digest_of("secret"), now_ns=NOW + AGE_NS_MAX) is None


def test_a_session_that_was_ended_is_not_learnt_again() -> None:
    book = SessionBook()
    book.remember(session())
    book.end(digest_of("secret"))

    book.remember(session())

    assert book.find(digest_of("secret"), now_ns=NOW) is None
    assert book.is_ended(digest_of("secret"))


def test_the_book_holds_a_bounded_number_and_forgets_the_longest_unused() -> None:
    book = SessionBook()
    for number in range(SESSIONS_MAX + 5):
        book.remember(session(f"secret-{number}"))

    assert len(book) == SESSIONS_MAX
    assert book.find(digest_of("secret-0"), now_ns=NOW) is None
    assert book.find(digest_of(f"secret-{SESSIONS_MAX + 4}"), now_ns=NOW) is not None


def test_a_form_token_belongs_to_one_secret_and_survives_a_restart() -> None:
    mine, other = make_secret(), make_secret()

    assert is_form_token(form_token(mine), mine)
    assert not is_form_token(form_token(mine), other)
    assert not is_form_token("", mine)


def test_wrong_passwords_shut_out_an_address_before_they_shut_out_an_account() -> None:
    attempts = WrongAttempts()
    for _ in range(WRONG_PER_ADDRESS_MAX):
        attempts.note(account="operator", address="10.0.0.9", now_ns=NOW)

    assert attempts.wait_seconds(account="operator", address="10.0.0.9", now_ns=NOW) == WINDOW_NS // NS_PER_S
    assert attempts.wait_seconds(account="operator", address="127.0.0.1", now_ns=NOW) == 0


def test_an_account_is_shut_out_after_wrong_passwords_from_many_addresses_and_opens_again() -> None:
    attempts = WrongAttempts()
    for number in range(WRONG_PER_ACCOUNT_MAX):
        attempts.note(account="operator", address=f"10.0.0.{number}", now_ns=NOW + number)

    assert attempts.wait_seconds(account="operator", address="127.0.0.1", now_ns=NOW + 100) > 0
    assert attempts.wait_seconds(account="operator", address="127.0.0.1", now_ns=NOW + WINDOW_NS) == 0


def test_a_right_password_starts_the_count_afresh() -> None:
    attempts = WrongAttempts()
    for _ in range(WRONG_PER_ADDRESS_MAX):
        attempts.note(account="operator", address="127.0.0.1", now_ns=NOW)

    attempts.forget(account="operator", address="127.0.0.1")

    assert attempts.wait_seconds(account="operator", address="127.0.0.1", now_ns=NOW) == 0


def test_guessed_names_do_not_fill_the_memory() -> None:
    attempts = WrongAttempts()
    for number in range(KEYS_MAX + 100):
        attempts.note(account=f"nobody-{number}", address="127.0.0.1", now_ns=NOW)

    assert len(attempts._moments) <= KEYS_MAX


def test_a_proxy_on_this_machine_does_not_make_its_callers_local() -> None:
    assert Caller("127.0.0.1", "localhost", is_forwarded=False).is_this_machine
    assert not Caller("127.0.0.1", "localhost", is_forwarded=True).is_this_machine
    assert not Caller("192.0.2.7", "localhost", is_forwarded=False).is_this_machine


def test_only_our_own_names_are_answered() -> None:
    assert is_own_host(host_of("127.0.0.1:8700"), listening="127.0.0.1")
    assert is_own_host(host_of("[::1]:8700"), listening="127.0.0.1")
    assert is_own_host(host_of("localhost"), listening="127.0.0.1")
    assert not is_own_host(host_of("attacker.example:8700"), listening="127.0.0.1")
    assert not is_own_host(host_of("127.0.0.1.attacker.example"), listening="127.0.0.1")
    assert not is_own_host(host_of("host:port"), listening="127.0.0.1")
    assert is_own_host(host_of("risk.example"), listening="0.0.0.0")
