"""What may be retired from access, and when; never what may be altered.

Retired means: below the least index of its log, so that it is no longer handed out. Its bytes and all hashes stay where
they are, so every proof of a later record goes on to hold, and a retirement by mistake can be taken back.
Source: C2SP tlog-tiles, "Pruning".
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controlplane.domain.clock import Clock
from controlplane.domain.errors import InvalidRequest, StateConflict, UnknownReference
from controlplane.journal.evidence_log import record_deed
from controlplane.journal.files.segment import SystemDisk
from controlplane.journal.reader import batches
from controlplane.journal.record import WORD_WALL_NS, RecordKind, decode_json
from controlplane.journal.tree.minimum import MINIMUM_NAME, read_minimum
from controlplane.journal.tree.notes import parse_checkpoint, parse_note
from controlplane.journal.tree.tiles import CHECKPOINT_NAME, TILE_WIDTH, TREE_DIRECTORY, replace_file

YEARS_MIN = 5
NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """How long records are kept in reach.

    Fields
        years  whole years; at least five
        holds  names of logs of which nothing may be retired at all
    """

    years: int
    holds: frozenset[str]

    def __post_init__(self) -> None:
        if self.years < YEARS_MIN:
            raise InvalidRequest(f"Expected records to be kept at least {YEARS_MIN} years, found {self.years}.")


@dataclass(frozen=True, slots=True)
class Retirement:
    """What is about to go out of reach: records 1 to `before_seq` - 1, the newest of `newest_ns`."""

    log: str
    before_seq: int
    size: int
    newest_ns: int


def refusal(rules: RetentionRules, asked: Retirement, *, now_ns: int) -> str:
    """Return why records can't be retired now, as one sentence; empty when they can."""
    if asked.log in rules.holds:
        return f"Expected {asked.log} to be free of legal holds, found one; nothing of it is retired while it lasts."
    if asked.before_seq - 1 > asked.size:
        return (
            f"Expected at most the {asked.size} records that are signed, found {asked.before_seq - 1}; sign them first."
        )
    if (asked.before_seq - 1) % TILE_WIDTH:
        return f"Expected a multiple of {TILE_WIDTH} records, as bundles hold them, found {asked.before_seq - 1}."
    if asked.newest_ns >= kept_since_ns(rules, now_ns=now_ns):
        day = datetime.fromtimestamp(asked.newest_ns / NS_PER_SECOND, UTC).date()
        return (
            f"Expected records older than {rules.years} years, found one of {day} among the first "
            f"{asked.before_seq - 1} of {asked.log}; retire fewer."
        )
    return ""


def kept_since_ns(rules: RetentionRules, *, now_ns: int) -> int:
    """Return the moment before which records may be retired: the same day and time so many years ago.

    Rounding
        29 February counts as 28 February of a year that has none, so that records are kept longer, never shorter
    """
    now = datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC)
    day = 28 if (now.month, now.day) == (2, 29) else now.day
    return int(now.replace(year=now.year - rules.years, day=day).timestamp()) * NS_PER_SECOND


def retire(log_directory: Path, *, before_seq: int, rules: RetentionRules, by: str, clock: Clock) -> int:
    """Return the sequence of the RecordsRetired record, after which the records are out of reach.

    Errors
        StateConflict       the rules don't allow it now
        UnknownReference    nothing of the log is signed
        ChainBroken         the log contradicts itself
        JournalUnavailable  the retirement can't be put on record, so there is none
    """
    asked, root = _retirement(log_directory, before_seq)
    reason = refusal(rules, asked, now_ns=clock.wall_ns())
    before = read_minimum(log_directory)
    if not reason and before_seq - 1 <= before:
        reason = f"Expected more than the {before} records that are retired already, found {before_seq - 1}."
    if reason:
        raise StateConflict(reason)
    seq = record_deed(
        log_directory.parent,
        {
            "kind": RecordKind.RECORDS_RETIRED.text,
            "log": asked.log,
            "first_leaf_index": before,
            "least_index": before_seq - 1,
            "size": asked.size,
            "root": root.hex(),
            "newest_ns": str(asked.newest_ns),
            "years": rules.years,
            "by": by,
        },
        clock=clock,
    )
    replace_file(log_directory / TREE_DIRECTORY / MINIMUM_NAME, f"{before_seq - 1}\n".encode(), disk=SystemDisk())
    return seq


def _retirement(log_directory: Path, before_seq: int) -> tuple[Retirement, bytes]:
    if before_seq < 2:
        raise InvalidRequest(f"Expected the sequence of the first record to keep, above 1, found {before_seq}.")
    path = log_directory / TREE_DIRECTORY / CHECKPOINT_NAME
    try:
        checkpoint = parse_checkpoint(parse_note(path.read_bytes()).text)
    except FileNotFoundError:
        raise UnknownReference(
            f"Expected a signed checkpoint in {path}, found none; let the drain run first."
        ) from None
    newest_ns = 0
    for whole in batches(log_directory):
        batch = whole.limited(max(0, before_seq - whole.first_seq))
        if batch.count == 0:
            break
        _, words = batch.binary()
        if words.size:
            newest_ns = max(newest_ns, int(words[:, WORD_WALL_NS].max()))
        for record in batch.json_records():
            newest_ns = max(newest_ns, int(str(decode_json(record.entry)["wall_ns"])))
    return Retirement(log_directory.name, before_seq, checkpoint.size, newest_ns), checkpoint.root
