"""Passwords: made, kept as hashes, compared."""

import re

from controlplane.identity.passwords import PASSWORD_LENGTH_MAX, Passwords, make_password

CHEAP = Passwords(time_cost=1, memory_kib=1_024)


def test_a_made_password_is_long_readable_and_never_the_same_twice() -> None:
    made = {make_password() for _ in range(50)}

    assert len(made) == 50
    assert all(re.fullmatch(r"([a-hj-kmnp-z2-9]{4}-){5}[a-hj-kmnp-z2-9]{4}", password) for password in made)


def test_a_kept_hash_does_not_hold_the_password_and_matches_only_it() -> None:
    kept = CHEAP.hash("k7mq-2hxv-pass")

    assert "k7mq" not in kept
    assert kept.startswith("$argon2id$")
    assert CHEAP.matches("k7mq-2hxv-pass", kept)
    assert not CHEAP.matches("k7mq-2hxv-pasS", kept)


def test_an_account_that_does_not_exist_matches_nothing_but_does_the_same_work() -> None:
    assert not CHEAP.matches("anything", None)


def test_a_password_beyond_the_longest_is_refused_before_it_is_hashed() -> None:
    long = "x" * (PASSWORD_LENGTH_MAX + 1)

    assert not CHEAP.matches(long, CHEAP.hash(long))


def test_text_that_is_no_unicode_matches_nothing() -> None:
    assert not CHEAP.matches("\ud800", CHEAP.hash("anything"))


def test_a_damaged_hash_matches_nothing() -> None:
    assert not CHEAP.matches("anything", "$argon2id$v=19$not a hash")
