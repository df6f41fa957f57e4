"""What every command shares: options of the same name, exit statuses, words on the terminal, faults as sentences.

Exit status 0 means done; 1 that the command said no or found something wrong; 3 that something outside is unwell; 4
that facts contradict each other. A fault is one sentence on standard error, never a traceback.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from controlplane import cli
from controlplane.domain.errors import DependencyError, EvidenceError, RequestError
from controlplane.runtime.directories import STATE_VARIABLE
from controlplane.runtime.settings import Settings, load_settings

EXIT_NO, EXIT_UNWELL, EXIT_CONTRADICTION, EXIT_INTERRUPTED = 1, 3, 4, 130

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
State = Annotated[
    Path | None, typer.Option("--state", help=f"State directory; {STATE_VARIABLE} when left out.", show_default=False)
]


def settings_of(state: Path | None) -> Settings:
    """The settings of this process; a named state directory wins over the environment."""
    if state is not None:
        os.environ[STATE_VARIABLE] = str(state)
    return load_settings()


def version_of(now_ns: int) -> int:
    """The number of limits compiled now: their moment in UTC, `20240131235959`, so that it grows and can be read."""
    return int(datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%d%H%M%S"))


def dsn_of(settings: Settings) -> str | None:
    """The connection string of a server that isn't ours to start."""
    return settings.dsn.get_secret_value() if settings.dsn is not None else None


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_details: stop.set())
    return stop


def say(line: str) -> None:
    """Print at once, so that whoever follows a pipe sees it."""
    cli.say([line])


@contextmanager
def faults_as_sentences() -> Iterator[None]:
    """Turn every expected fault into its sentence and an exit status."""
    try:
        yield
    except RequestError as error:
        fail(str(error), EXIT_NO)
    except DependencyError as error:
        fail(str(error), EXIT_UNWELL)
    except EvidenceError as error:
        fail(str(error), EXIT_CONTRADICTION)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        fail(f"The system would not do it: {error.strerror or error}{where}; correct that and try again.", EXIT_UNWELL)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def fail(sentence: str, exit_status: int) -> NoReturn:
    """End with a sentence."""
    sys.stderr.write(sentence + "\n")
    sys.exit(exit_status)
