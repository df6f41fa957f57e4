"""Identity of requests (GT07): a repeated one gets its first verdict, never a second permit; a reused one is denied.

The last few thousand are remembered word for word. Whatever is older is known by one number for each program: its
identifiers only grow, so one at or below the highest was used before.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.ids import ID_MAX, PROGRAM_MAX
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel import denials
from controlplane.gate.kernel.compiled import LINE_WORDS, Words, compiled, fetch
from controlplane.gate.kernel.hashing import fold
from controlplane.gate.kernel.ledger import find, insert, remove

REPEATED = 1 << 48  # a bit of the answer, not of the record: the verdict was given before


@compiled
def recall(s: Words) -> int:
    """GT07: answer a request seen before: the first verdict for the same content, a failed check for other content.

    An identifier not remembered any more, or never seen but below the highest of its program, is a failed check too.
    """
    row = find(s, s[a.REQUEST_INDEX_AT], 2 * s[a.REQUEST_CAPACITY] - 1, s[a.E_REQUEST])
    if row != 0 and s[row + 1] == content_digest(s):
        s[a.LAST_SEQUENCE], s[a.PERMIT_LOW], s[a.PERMIT_HIGH] = s[row + 2], s[row + 3], s[row + 4]
        s[a.E_HEAD] = s[row + 5]
        for word in range(a.E_SNAPSHOT, a.E_AFTER + 1):
            s[word] = s[row + 6 + word - a.E_SNAPSHOT]
        return REPEATED
    program = a.PROGRAMS_AT + (s[a.E_REQUEST] & PROGRAM_MAX)
    if row != 0 or s[a.E_REQUEST] <= s[program]:
        denials.deny(s, Code.REQUEST_ID_REUSED, denials.NO_SCOPE, s[a.E_REQUEST], s[program])
    return 0


@compiled
def remember(s: Words, sequence: int) -> None:
    """Keep the verdict of this request in the place of the oldest, and the highest identifier of its program."""
    if s[a.FAILED_RANK] == Code.MALFORMED_REQUEST:
        return
    from_program = a.PROGRAMS_AT + (s[a.E_REQUEST] & PROGRAM_MAX)
    if s[a.E_REQUEST] <= 0 or s[a.E_REQUEST] <= s[from_program] or s[a.E_REQUEST] > ID_MAX:
        return
    s[from_program] = s[a.E_REQUEST]
    row = s[a.REQUESTS_AT] + s[a.REQUEST_CURSOR] * a.REQUEST_WORDS
    s[a.REQUEST_CURSOR] = (s[a.REQUEST_CURSOR] + 1) % s[a.REQUEST_CAPACITY]
    mask = 2 * s[a.REQUEST_CAPACITY] - 1
    if s[row] != 0:
        remove(s, s[a.REQUEST_INDEX_AT], mask, s[row])
    s[row], s[row + 1], s[row + 2] = s[a.E_REQUEST], content_digest(s), sequence
    s[row + 3], s[row + 4], s[row + 5] = s[a.PERMIT_LOW], s[a.PERMIT_HIGH], s[a.E_HEAD]
    for word in range(a.E_SNAPSHOT, a.E_AFTER + 1):
        s[row + 6 + word - a.E_SNAPSHOT] = s[word]
    insert(s, s[a.REQUEST_INDEX_AT], mask, s[a.E_REQUEST], row)
    following = s[a.REQUESTS_AT] + s[a.REQUEST_CURSOR] * a.REQUEST_WORDS
    for line in range(0, a.REQUEST_WORDS, LINE_WORDS):
        fetch(s, following + line)  # the row that the next request will take


@compiled
def content_digest(s: Words) -> int:
    """Return the fold over everything that makes two requests the same request."""
    digest = s[a.COMMAND]
    for word in range(a.E_CHILD, a.E_MODEL + 1):
        digest = fold(digest, s[word])
    return digest
