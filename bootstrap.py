#!/usr/bin/env python3
"""Set up and start with the standard library alone.

    python3 bootstrap.py demo [options]   a supervised run with the console open
    python3 bootstrap.py test [options]   every check; options go to pytest
    python3 bootstrap.py lock             resolve the dependencies of pyproject.toml again and rewrite requirements/

The first start makes `.venv`, installs a pinned uv into it, and with that everything that requirements/*.lock names,
by version and by hash; where uv doesn't succeed, pip does the same, more slowly. Later starts find a stamp that says so
and begin at once. This file is written so that every Python since 3.7 can read it and say that it is too old.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "controlplane.stamp"
COMPILED = VENV / "gate.stamp"
LOCKS = ROOT / "requirements"
BUSY = ROOT / ".bootstrap.lock"
DETAILS = VENV / "bootstrap.log"

OLDEST, NEWEST = (3, 11), (3, 14)
# The second profile holds everything that the first does.
PROFILES = {"demo": ("run", "test"), "test": ("test",)}
COMMANDS = {"controlplane": "controlplane.cli", "executor": "executor.cli"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

NO_NETWORK = (
    "name resolution", "name or service not known", "dns error", "connection refused", "network is unreachable",
    "no route to host", "timed out", "connection reset", "error sending request", "newconnectionerror",
    "proxyerror", "tunnel error", "failed to fetch", "max retries exceeded",
)  # fmt: skip


class Stop(Exception):
    """The set-up can't go on; the text is the one sentence that the user gets."""


def main(arguments: list[str]) -> int:
    """The exit status; for `demo` this process becomes the demo instead."""
    if not arguments or arguments[0] not in (*PROFILES, "lock"):
        print("usage: python3 bootstrap.py demo|test|lock [options]", file=sys.stderr)
        return 2
    command, options = arguments[0], arguments[1:]
    try:
        require_python(arguments)
        if command == "lock":
            set_up("test")
            return write_locks()
        set_up(command)
        compile_gate()
        if command == "test":
            return run_checks(options)
        sys.stdout.flush()
        os.execve(PYTHON, [str(PYTHON), str(VENV / "bin" / "controlplane"), "demo", *options], environment())
    except Stop as reason:
        print(f"bootstrap: {reason}", file=sys.stderr)
    except OSError as error:
        print("bootstrap: " + explain_system_error(error), file=sys.stderr)
    except KeyboardInterrupt:
        print("bootstrap: stopped; start it again and it goes on where it was.", file=sys.stderr)
        return 130
    return 1


def require_python(arguments: list[str]) -> None:
    """Return when this Python will do; otherwise go on in one that does, or stop with the sentence."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other and subprocess.call([other, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            say(f"python3 is {sys.version_info[0]}.{sys.version_info[1]}; going on with {other}")
            os.execv(other, [other, str(ROOT / "bootstrap.py"), *arguments])
    raise Stop(
        f"Expected Python 3.{OLDEST[1]} to 3.{NEWEST[1]}, found {sys.version.split()[0]} and no other; install one, "
        f"for example with `apt-get install python3.{OLDEST[1]} python3.{OLDEST[1]}-venv`, and run this with it."
    )


def set_up(command: str) -> None:
    """Return once `.venv` holds what the command needs; at once where a stamp says so, and one set-up at a time."""
    if stamped() in [digest(profile) for profile in PROFILES[command]]:
        return
    with only_one():
        if stamped() in [digest(profile) for profile in PROFILES[command]]:
            return
        profile = PROFILES[command][0]
        started = time.monotonic()
        STAMP.unlink(missing_ok=True)
        make_environment()
        install(LOCKS / f"{profile}.lock")
        write_commands()
        unfinished = STAMP.with_suffix(".new")
        unfinished.write_text(digest(profile) + "\n", encoding="utf-8")
        unfinished.replace(STAMP)
        say(f"ready after {time.monotonic() - started:.0f} s")


def compile_gate() -> None:
    """Return once the gate is compiled: here, alone, it takes half a minute; by several programs at a time, minutes."""
    wanted = gate_digest()
    if COMPILED.exists() and COMPILED.read_text(encoding="utf-8") == wanted:
        return
    with only_one():
        say("compiling the gate, which takes about half a minute")
        failure = run_quietly([str(PYTHON), "-m", COMMANDS["controlplane"], "compile"], environment())
        if failure:
            raise Stop(f"Expected to compile the gate, found: {failure.splitlines()[-1][:200]}; see {DETAILS}.")
        COMPILED.write_text(wanted, encoding="utf-8")


def gate_digest() -> str:
    """What the compiled gate depends on, as one number."""
    total = hashlib.sha256(stamped().encode())
    for pattern in ("gate/**/*.py", "domain/*.py", "journal/record.py"):
        for source in sorted((ROOT / "controlplane").glob(pattern)):
            total.update(source.read_bytes())
    return total.hexdigest()


def digest(profile: str) -> str:
    """What the environment depends on, as one number: locks, this file, the Python, and where the checkout lies."""
    total = hashlib.sha256()
    for path in (LOCKS / f"{profile}.lock", LOCKS / "bootstrap.lock", ROOT / "bootstrap.py"):
        total.update(path.read_bytes())
    total.update(repr((profile, sys.version, sysconfig.get_platform(), sys.base_prefix, str(ROOT))).encode())
    return total.hexdigest()


def stamped() -> str:
    """The digest of the finished set-up, or nothing."""
    try:
        return STAMP.read_text(encoding="utf-8").strip() if PYTHON.exists() else ""
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold the set-up lock; the system lets go of it when a process dies."""
    with BUSY.open("w", encoding="utf-8") as busy:
        try:
            fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work in this checkout; waiting for it")
            fcntl.flock(busy, fcntl.LOCK_EX)
        yield


def make_environment() -> None:
    """Return once `.venv` has a working Python of this version with pip."""
    probe = f"import sys, pip; sys.exit(sys.version_info[:3] != {tuple(sys.version_info[:3])})"
    if PYTHON.exists() and subprocess.call([str(PYTHON), "-c", probe], stderr=subprocess.DEVNULL) == 0:
        return
    try:
        # Debian ships venv and ensurepip in a package of their own.
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise Stop(
            "Expected this Python to come with the modules venv and ensurepip, found them missing; install them with "
            "`apt-get install python3-venv`, then run this again."
        ) from None
    say("making .venv")
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Stop(explain_failure("making .venv", done.stdout + done.stderr, ""))


def install(lock: Path) -> None:
    """Return once exactly the locked packages are there, their hashes checked and their modules compiled."""
    say("installing uv")
    failure = run_quietly([*pip_install(), "--no-deps", "-r", str(LOCKS / "bootstrap.lock")], environment())
    if failure and is_final(failure):
        raise Stop(explain_failure("installing uv", failure, lock.name))
    if not failure:
        say(f"installing what requirements/{lock.name} names")
        command = [
            str(VENV / "bin" / "uv"), "pip", "sync", "--python", str(PYTHON), "--require-hashes", "--only-binary",
            ":all:", "--compile-bytecode", "--no-progress", str(lock),
        ]  # fmt: skip
        failure = run_quietly(command, {**environment(), **uv_settings()})
        if not failure:
            return
        if is_final(failure, network=False):
            raise Stop(explain_failure("installing with uv", failure, lock.name))
    say("uv did not succeed; installing the same with pip, which takes about a minute")
    command = [*pip_install(), "--no-deps", "--only-binary", ":all:", "-r", str(lock)]
    failure = run_quietly(command, environment())
    if failure:
        raise Stop(explain_failure("installing with pip", failure, lock.name))


def pip_install() -> list[str]:
    """The words before every installation by pip."""
    return [
        str(PYTHON), "-m", "pip", "install", "--require-hashes", "--quiet", "--disable-pip-version-check",
        "--no-input", "--retries", "2",
    ]  # fmt: skip


def uv_settings() -> dict[str, str]:
    """Environment for uv from the configuration of pip, which uv doesn't read; only where another index is named."""
    shown = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    told = {}
    for line in shown.stdout.splitlines():
        name, _, value = line.partition("=")
        with contextlib.suppress(ValueError, SyntaxError):
            told[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    settings = {}
    if "index-url" in told and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(os.environ):
        settings["UV_DEFAULT_INDEX"] = told["index-url"]
        # Safe with several indexes: whatever they offer, only the pinned bytes are accepted.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        if "extra-index-url" in told:
            settings["UV_INDEX"] = told["extra-index-url"]
        if "trusted-host" in told:
            settings["UV_INSECURE_HOST"] = told["trusted-host"]
    if "cert" in told and "SSL_CERT_FILE" not in os.environ:
        settings["SSL_CERT_FILE"] = told["cert"]
    if "proxy" in told:
        settings["ALL_PROXY"] = told["proxy"]
    return settings


def write_commands() -> None:
    """Put the checkout on the path of `.venv` and write the commands that pyproject.toml names.

    A path file and two small scripts do what an editable installation would, without a build tool or the network.
    """
    probe = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.run([str(PYTHON), "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
    (Path(where) / "controlplane-checkout.pth").write_text(str(ROOT) + "\n", encoding="utf-8")
    for name, module in COMMANDS.items():
        script = VENV / "bin" / name
        # The first two lines start the right Python whatever spaces or length its path has.
        script.write_text(
            f"#!/bin/sh\n'''exec' \"{PYTHON}\" \"$0\" \"$@\"\n' '''\n"
            "import os\nimport sys\n\n"
            f"os.environ.setdefault('NUMBA_CACHE_DIR', {str(VENV / 'numba')!r})\n"
            f"from {module} import main\n\nsys.exit(main())\n",
            encoding="utf-8",
        )
        script.chmod(0o755)


def run_checks(options: list[str]) -> int:
    """The first exit status of linter, type checker and tests that is not zero, after all three have run."""
    if not any("not browser" in option for option in options):
        find_browser()
    status = 0
    for name, command in (
        ("ruff", ["ruff", "check"]),
        ("mypy", ["mypy"]),
        ("pytest", ["pytest", *options]),
    ):
        say(" ".join([name, *command[1:]]))
        started = time.monotonic()
        code = subprocess.call([str(PYTHON), "-m", *command], cwd=str(ROOT), env=environment())
        say(f"{name} ended with status {code} after {time.monotonic() - started:.0f} s")
        status = status or code
    return status


def find_browser() -> None:
    """Return once there is a Chromium for the browser tests; installed here where that is possible."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    sentence = (
        f"Expected a Chromium for the browser tests, found none of {', '.join(BROWSERS)}; install it with `apt-get "
        "install chromium`, or leave them out: `python3 bootstrap.py test -m 'not browser and not slow and not bench'`."
    )
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise Stop(sentence)
    say("installing Chromium for the browser tests with apt-get")
    settings = {**environment(), "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium", "fonts-liberation"]):
        if run_quietly(["apt-get", "-q", *words], settings):
            raise Stop(f"{sentence} (apt-get {words[0]} failed; its words are in {DETAILS})")


def write_locks() -> int:
    """Exit status of rewriting requirements/ from pyproject.toml: versions and hashes, no addresses."""
    compile_command = [
        str(VENV / "bin" / "uv"), "pip", "compile", "--universal", "--python-version", f"{OLDEST[0]}.{OLDEST[1]}",
        "--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet", "--upgrade",
    ]  # fmt: skip
    for words in (
        ["pyproject.toml", "-o", "requirements/run.lock"],
        ["pyproject.toml", "--group", "test", "-c", "requirements/run.lock", "-o", "requirements/test.lock"],
        ["--group", "pyproject.toml:bootstrap", "-o", "requirements/bootstrap.lock"],
    ):
        code = subprocess.call([*compile_command, *words], cwd=str(ROOT), env={**environment(), **uv_settings()})
        if code:
            return code
    return 0


def environment() -> dict[str, str]:
    """The environment of everything that is started here."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    kept["VIRTUAL_ENV"] = str(VENV)
    kept["PATH"] = str(VENV / "bin") + os.pathsep + kept.get("PATH", os.defpath)
    kept["DO_NOT_TRACK"] = "1"
    kept.setdefault("NUMBA_CACHE_DIR", str(VENV / "numba"))
    return kept


def run_quietly(command: list[str], settings: dict[str, str]) -> str:
    """Nothing when the command succeeds, else what it said; all it says is kept in the log as well."""
    done = subprocess.run(command, env=settings, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    with DETAILS.open("a", encoding="utf-8") as details:
        details.write(f"$ {' '.join(command)}\n{said}")
    return (said.strip() or f"status {done.returncode}") if done.returncode else ""


def is_final(failure: str, *, network: bool = True) -> bool:
    """Whether trying in another way can't help: no space is left, or, where it counts, nothing can be reached."""
    words = failure.lower()
    return "no space left" in words or (network and any(sign in words for sign in NO_NETWORK))


def explain_failure(doing: str, failure: str, lock: str) -> str:
    """The one sentence for a failed step."""
    words = failure.lower()
    if "no space left" in words:
        return f"No space is left on the disk of {VENV} while {doing}; free about 1 GB, then run this again."
    if "hash mismatch" in words or "do not match the hashes" in words:
        return (
            f"A package that was offered does not have the hash that requirements/{lock} demands, so nothing was "
            "installed; find out who changed it before anything else."
        )
    if any(sign in words for sign in NO_NETWORK):
        return (
            f"Expected to reach a package index while {doing}, found no way to it; check the network, the proxy or "
            f"pip's index-url, then run this again (details in {DETAILS})."
        )
    last = failure.strip().splitlines()[-1][:200] if failure.strip() else "nothing was said"
    return f"Expected {doing} to succeed, found: {last}; the details are in {DETAILS}."


def explain_system_error(error: OSError) -> str:
    """The one sentence for what the operating system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space is left on the disk of {ROOT}; free about 1 GB, then run this again."
    where = error.filename or ROOT
    return f"Expected to be able to use {where}, found: {error.strerror}; correct that, then run this again."


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"bootstrap: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
