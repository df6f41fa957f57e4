"""Random numbers from a seed that are the same on every machine and in every version: SplitMix64, and laws over it.

Source
    G. Steele, D. Lea, C. Flood, 2014, "Fast splittable pseudorandom number generators", the mixing function of
    section 3 with its constants.
"""

import math

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


class Chance:
    """A stream of random numbers.

    Arguments
        seed  any whole number; equal seeds give equal streams
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & MASK

    def bits(self) -> int:
        """Return the next 64 random bits."""
        self._state = (self._state + STEP) & MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)

    def uniform(self) -> float:
        """Return a number from 0 (included) to 1 (excluded) on a grid of 2^-53."""
        return (self.bits() >> 11) * 2.0**-53

    def below(self, bound: int) -> int:
        """Return a whole number from 0 to bound - 1; bound at most 2^32, so that the bias stays below 2^-32."""
        return (self.bits() * bound) >> 64

    def is_hit(self, probability: float) -> bool:
        """Return whether an event of this probability happened."""
        return self.uniform() < probability

    def exponential(self, mean: float) -> float:
        """Return an exponential waiting time of this mean."""
        return -mean * math.log(1.0 - self.uniform())

    def geometric(self, mean: float) -> int:
        """Return a whole number from 1 on with a geometric law of this mean, mean > 1."""
        return 1 + int(math.log(1.0 - self.uniform()) / math.log(1.0 - 1.0 / mean))

    def normal(self) -> float:
        """Return a standard normal number (Box and Muller, 1958; the second of the pair is not used)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def split(self) -> "Chance":
        """Return a stream of its own, so that what draws from it doesn't disturb this one."""
        return Chance(self.bits())
