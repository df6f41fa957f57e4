"""Where every tree of this machine stands, left by the drain in a file that other programs read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from controlplane.domain.errors import EvidenceError
from controlplane.journal.files.segment import TEMPORARY_SUFFIX

DRAIN_DIRECTORY = "drain"
STATUS_NAME = "status"


@dataclass(frozen=True, slots=True)
class TreeProgress:
    """Where the tree of one log stands.

    Fields
        log                   name of the log
        key                   public key that its checkpoints are signed with, as text; empty before the first
        size                  records under the newest checkpoint
        cosigned_size         records under the newest checkpoint that the witness signed too
        cosign_waits_seconds  how long the oldest checkpoint without the witness's signature waits; 0 when none does
        problem               why the tree doesn't go on, one sentence; empty when it does
        cosign_problem        why the witness didn't sign, one sentence; empty when it did
        is_stopped            whether facts contradict each other, so that nothing more is signed
    """

    log: str
    key: str = ""
    size: int = 0
    cosigned_size: int = 0
    cosign_waits_seconds: float = 0.0
    problem: str = ""
    cosign_problem: str = ""
    is_stopped: bool = False


def write_status(directory: Path, progress: tuple[TreeProgress, ...], *, wall_ns: int) -> None:
    """Leave where every tree stands in a file that other programs read.

    Errors
        OSError as the disk says
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {"written_ns": str(wall_ns), "logs": [asdict(one) for one in progress]}
    path = directory / STATUS_NAME
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    # Not made durable: after a crash it says nothing worth knowing.
    temporary.write_text(json.dumps(document, sort_keys=True) + "\n", "ascii")
    temporary.replace(path)


def read_status(state_directory: Path) -> tuple[int, tuple[TreeProgress, ...]]:
    """Return when the drain of this machine wrote its status, in nanoseconds since the epoch, and the status.

    A drain that never ran gives 0 and nothing.

    Errors
        EvidenceError when the file holds something else
    """
    path = state_directory / DRAIN_DIRECTORY / STATUS_NAME
    try:
        document = json.loads(path.read_bytes())
        return int(document["written_ns"]), tuple(TreeProgress(**one) for one in document["logs"])
    except FileNotFoundError:
        return 0, ()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise EvidenceError(
            f"Expected the status of the drain in {path}, found it unreadable ({error}); remove it."
        ) from None
