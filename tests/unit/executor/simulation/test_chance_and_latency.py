"""Random numbers that are the same everywhere, and delays drawn from them."""

import statistics

import pytest

from controlplane.domain.errors import InvalidRequest
from executor.simulation.chance import Chance
from executor.simulation.latency import MEDIANS_MAX, Delay, LatencyModel


def test_stream_equals_the_published_vectors_of_splitmix64() -> None:
    # First outputs for seed 1234567 of the reference implementation by Vigna (prng.di.unimi.it/splitmix64.c).
    chance = Chance(1234567)

    assert [chance.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_equal_seeds_give_equal_streams_and_others_do_not() -> None:
    first, again, other = Chance(5), Chance(5), Chance(6)

    stream = [first.uniform() for _ in range(20)]

    assert stream == [again.uniform() for _ in range(20)]
    assert stream != [other.uniform() for _ in range(20)]
    assert all(0.0 <= number < 1.0 for number in stream)


def test_laws_have_their_means() -> None:
    chance = Chance(11)
    n = 20_000

    assert statistics.fmean(chance.exponential(3.0) for _ in range(n)) == pytest.approx(3.0, rel=0.03)
    assert statistics.fmean(chance.geometric(4.0) for _ in range(n)) == pytest.approx(4.0, rel=0.03)
    assert statistics.fmean(chance.below(7) for _ in range(n)) == pytest.approx(3.0, rel=0.03)
    normals = [chance.normal() for _ in range(n)]
    assert statistics.fmean(normals) == pytest.approx(0.0, abs=0.03)
    assert statistics.pstdev(normals) == pytest.approx(1.0, rel=0.03)


def test_split_stream_does_not_disturb_its_parent() -> None:
    parent, twin = Chance(5), Chance(5)

    child = parent.split()
    twin.bits()
    [child.bits() for _ in range(100)]

    assert parent.bits() == twin.bits()


def test_constant_delay_draws_nothing() -> None:
    chance, twin = Chance(5), Chance(5)

    assert Delay(700).draw(chance) == 700
    assert chance.bits() == twin.bits()


def test_lognormal_delay_has_its_median_and_a_bound() -> None:
    chance, delay = Chance(5), Delay(1_000_000, sigma=2.0)

    drawn = [delay.draw(chance) for _ in range(20_000)]

    assert statistics.median(drawn) == pytest.approx(1_000_000, rel=0.05)
    assert max(drawn) == 1_000_000 * MEDIANS_MAX


@pytest.mark.parametrize(
    "build",
    [
        lambda: Delay(-1),
        lambda: Delay(1, sigma=9.0),
        lambda: Delay(1, sigma=float("nan")),
        lambda: LatencyModel(feed_ns=-1),
    ],
)
def test_impossible_delays_are_refused(build) -> None:
    with pytest.raises(InvalidRequest, match=r"needs a median|is 0 ns or more"):
        build()
