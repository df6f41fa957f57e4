"""`require`: a stated truth that stays checked in every build, unlike `assert`, which `python -O` removes."""

from controlplane.domain.errors import InvariantBroken


def require(condition: bool, sentence: str) -> None:
    """Return when the condition holds.

    Errors
        InvariantBroken with the sentence, which names the values that contradict each other
    """
    if not condition:
        raise InvariantBroken(sentence)
