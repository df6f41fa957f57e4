"""The digest of the gate's state: one word carried forward over others, in 64 bits."""

FOLD_FACTOR = 0x2545F4914F6CDD1D
SIGN, MODULUS = 1 << 63, 1 << 64


def fold(digest: int, word: int) -> int:
    """Return the digest carried forward over one more word."""
    mixed = (digest ^ word) * FOLD_FACTOR % MODULUS
    mixed ^= mixed >> 32
    return signed(mixed)


def signed(number: int) -> int:
    """Return the number that the low 64 bits of another stand for."""
    number %= MODULUS
    return number - MODULUS if number >= SIGN else number
