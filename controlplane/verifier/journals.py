"""What somebody names on a command line: directories with logs in them, keys as texts or in files."""

from collections.abc import Sequence
from pathlib import Path

from controlplane.verifier.frames import SEGMENT_FILE
from controlplane.verifier.keys import PublicKey, public_key
from controlplane.verifier.notes import Checkpoint, NoteWrong, checkpoint
from controlplane.verifier.tiles import FOLDER


def logs_in(path: Path) -> list[Path]:
    """Return the directories of logs: the one named, or those in it, or those in its `journal`.

    Errors
        OSError when the directory can't be read
    """
    for folder in (path, path / "journal"):
        if not folder.is_dir():
            continue
        if _is_log(folder):
            return [folder]
        found = sorted(one for one in folder.iterdir() if one.is_dir() and _is_log(one))
        if found:
            return found
    return []


def read_keys(texts: Sequence[str]) -> list[PublicKey]:
    """Return the keys that texts are, or that stand in files of these names, one a line; # begins a remark.

    Errors
        NoKey for what is neither
    """
    keys = []
    for text in texts:
        path = Path(text)
        lines = path.read_text("utf-8").splitlines() if "+" not in text and path.is_file() else [text]
        keys += [public_key(line) for line in lines if line.strip() and not line.startswith("#")]
    return keys


def old_of(logs: Sequence[Path], content: bytes | None) -> list[Checkpoint | None]:
    """Return for each log the older checkpoint to hold against it, None where it is another log's.

    Arguments
        content  of the checkpoint that somebody kept, None when nobody did

    Errors
        NoteWrong when it isn't a checkpoint, or belongs to none of several logs
    """
    if content is None:
        return [None] * len(logs)
    old = checkpoint(content)
    if len(logs) == 1:
        return [old]
    found = [old if _origin(log) == old.origin else None for log in logs]
    if not any(found):
        raise NoteWrong(
            f"Expected the log {old.origin} of the kept checkpoint, found none of that name; name its directory."
        )
    return found


def _origin(log: Path) -> str:
    try:
        return checkpoint((log / FOLDER / "checkpoint").read_bytes()).origin
    except (OSError, NoteWrong):
        return ""


def _is_log(folder: Path) -> bool:
    return any(SEGMENT_FILE.match(one.name) for one in folder.iterdir()) or (folder / FOLDER).is_dir()
