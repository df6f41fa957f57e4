"""The least index of a log that is still handed out; what lies below was retired (`retention.py`)."""

from pathlib import Path

from controlplane.domain.errors import ChainBroken
from controlplane.journal.tree.tiles import TREE_DIRECTORY

MINIMUM_NAME = "least-index"


def read_minimum(log_directory: Path) -> int:
    """Return the least index of a log that is in reach; 0 when nothing was retired.

    Errors
        ChainBroken when the file that says so is damaged
    """
    path = log_directory / TREE_DIRECTORY / MINIMUM_NAME
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise ChainBroken(f"Expected a number in {path}, found it unreadable ({error}); restore the file.") from None
    if not text.isdigit():
        raise ChainBroken(f"Expected a number in {path}, found {text[:40]!r}; restore the file.")
    return int(text)
