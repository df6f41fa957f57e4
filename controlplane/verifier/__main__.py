"""The judge by itself: `python -m controlplane.verifier DIR --public-key KEY`, with nothing else of ours loaded.

Exit status 0: proved. 1: something is wrong. 3: the time was over before the end. 2: the question was wrong.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from controlplane.verifier.journals import logs_in, old_of, read_keys
from controlplane.verifier.judging import Verdict, judge, judge_proof
from controlplane.verifier.keys import NoKey
from controlplane.verifier.notes import NoteWrong

PROVED, WRONG, ASKED_WRONG, NOT_FINISHED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of judging what the arguments name."""
    asked = options().parse_args(arguments)
    try:
        keys = read_keys(asked.public_key)
        if asked.path.is_file():
            problem = judge_proof(asked.path.read_bytes(), keys=keys)
            say(json.dumps({"is_sound": not problem, "problem": problem}) if asked.json else problem or "Proved.")
            return WRONG if problem else PROVED
        found = logs_in(asked.path)
        olds = old_of(found, None if asked.checkpoint is None else asked.checkpoint.read_bytes())
    except (NoKey, NoteWrong) as error:
        sys.stderr.write(f"{error}\n")
        return ASKED_WRONG
    except OSError as error:
        sys.stderr.write(f"Expected to read {error.filename}, found: {error.strerror}; name what is there.\n")
        return ASKED_WRONG
    verdicts = [
        judge(path, keys=keys, old=old, seconds_max=asked.seconds) for path, old in zip(found, olds, strict=True)
    ]
    if asked.json:
        say(json.dumps({"logs": [verdict.document() for verdict in verdicts]}, sort_keys=True))
    else:
        say("\n".join(line for verdict in verdicts for line in verdict.lines()) or f"No log lies in {asked.path}.")
    return status_of(verdicts)


def status_of(verdicts: Sequence[Verdict]) -> int:
    """The exit status of some verdicts; none at all is a question asked wrong."""
    if any(not verdict.is_sound for verdict in verdicts):
        return WRONG
    if any(not verdict.is_complete for verdict in verdicts):
        return NOT_FINISHED
    return PROVED if verdicts else ASKED_WRONG


def options() -> argparse.ArgumentParser:
    """The options of this program."""
    parser = argparse.ArgumentParser(prog="controlplane.verifier", description="Judge a log from its files alone.")
    parser.add_argument("path", type=Path, help="a log's directory, a journal of several, or a .tlog-proof file")
    parser.add_argument("--public-key", action="append", default=[], help="a log's or a witness's key; repeat")
    parser.add_argument("--checkpoint", type=Path, help="an older checkpoint that you kept")
    parser.add_argument("--seconds", type=float, help="when to stop with what was found so far, per log")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def say(text: str) -> None:
    """Print."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
