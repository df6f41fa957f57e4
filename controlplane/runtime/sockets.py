"""Where Unix sockets live: a private folder whose path is short enough for every system's address structure."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from controlplane.domain.errors import NotPermitted

# struct sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_BYTES_MAX = 99
# The longest file name that any of our servers puts into such a folder (PostgreSQL's, with its lock beside it).
SOCKET_NAME_BYTES_MAX = len(".s.PGSQL.65535.lock")
SHORT_ROOT = Path("/tmp")  # noqa: S108 - make_private() refuses a folder that is not ours alone


def socket_directory(directory: Path) -> Path:
    """The folder for the sockets of `directory`: its own `socket` where that is short enough, else one under /tmp.

    The answer depends on the path and the user alone, so that two programs find each other without asking, whatever
    their environment says about temporary folders.
    """
    inside = directory / "socket"
    if len(os.fsencode(inside)) + 1 + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return SHORT_ROOT / f"controlplane-{os.getuid()}-{digest}"


def make_private(directory: Path) -> Path:
    """The folder, made if it was missing, certain to belong to this user and to be closed to all others.

    Errors
        NotPermitted when something else already stands there under that name
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NotPermitted(
            f"Expected {directory} to be a folder of this user (uid {os.getuid()}), found one of uid {found.st_uid}; "
            "remove it or choose another CONTROLPLANE_STATE_DIRECTORY.",
            rule="private-socket-directory",
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        directory.chmod(0o700)
    return directory
