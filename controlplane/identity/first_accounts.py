"""Hands the passwords of the first accounts over, once: into a file that only this user can read."""

import os
from collections.abc import Sequence
from pathlib import Path

from controlplane.identity.service import FirstAccount

FILE_NAME = "first-passwords.txt"


def write_first_passwords(state_directory: Path, accounts: Sequence[FirstAccount]) -> Path:
    """The file with names and passwords, readable by its owner alone; an older one is replaced.

    Errors
        OSError as the disk says
    """
    state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state_directory / FILE_NAME
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("Accounts of the first start. Keep the passwords elsewhere, then delete this file.\n\n")
        for account in accounts:
            file.write(f"{account.person.name}  {account.password}\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path
