"""Where this machine keeps its state when nobody says; standard library only, so that a stop can find the switch."""

import os
from pathlib import Path

STATE_VARIABLE = "CONTROLPLANE_STATE_DIRECTORY"


def default_state_directory() -> Path:
    """Where journal, database and sockets go when nobody says: the user's state folder of the XDG convention."""
    root = os.environ.get("XDG_STATE_HOME", "")
    # The convention tells programs to ignore a relative path here.
    base = Path(root) if os.path.isabs(root) else Path.home() / ".local" / "state"
    return base / "controlplane"


def state_directory() -> Path:
    """The state folder of this process, as `settings.py` reads it, without the rest of the settings."""
    named = os.environ.get(STATE_VARIABLE)
    return (default_state_directory() if named is None else Path(named)).expanduser().absolute()
