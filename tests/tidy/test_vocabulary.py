"""One word per idea: the slips that can be told from ordinary English without a false alarm.

docs/GLOSSARY.md holds the words and, beside each, the words we do not use for it. Names are checked word by word, prose
by phrase.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pytest

from tests.support.source import PACKAGES, Source, read_sources, tracked_files

# Words that never stand alone or as a part of a name of ours -> the word to use.
NAME_SLIPS = {
    "suborder": "child order",
    "metaorder": "parent order",
    "watchdog": "dead-man",
    "combo": "multi-leg order",
    "ticket": "change request, or permit",
    "quota": "allowance",
    "lease": "allowance",
    "snooze": "silence",
    "mute": "silence",
    "signoff": "attestation",
    "unkill": "lift",
    "liquidate": "unwind",
    "amber": "near",
    "requester": "maker",
    "reviewer": "checker",
}
# Neighbouring words in a name -> the word to use.
NAME_PAIR_SLIPS = {
    "sub_order": "child order",
    "master_order": "parent order",
    "meta_order": "parent order",
    "child_slice": "child order",
    "open_order": "working order",
    "open_orders": "working orders",
    "pending_order": "order in flight",
    "pending_orders": "orders in flight",
    "modify_order": "amend",
    "replace_order": "amend",
    "risk_engine": "gate",
    "order_filter": "gate",
    "audit_trail": "journal",
    "fat_finger": "collar",
    "price_band": "collar",
    "decision_price": "arrival price",
    "benchmark_price": "arrival price",
    "dark_launch": "shadow",
    "sign_off": "attestation",
    "adaptive_limit": "dynamic limit",
    "risk_level": "materiality tier",
    "limit_usage": "utilisation",
}
# What a sentence may not say -> what it should.
PROSE_SLIPS = {
    r"\bgate\s+(?:has\s+)?reject(?:s|ed)\b": "the gate denies",
    r"\brejected by the gate\b": "denied by the gate",
    r"\bvenue\s+(?:has\s+)?(?:denies|denied|refuses|refused)\b(?! knowing)": "the venue rejects",
    r"\bdenied by (?:the|a) venue\b": "rejected by the venue",
    r"\bsub-orders?\b": "child order",
    r"\bmeta[- ]orders?\b": "parent order",
    r"\bfat[- ]finger": "collar",
    r"\baudit trail\b": "journal",
    r"\brisk engine\b": "gate",
    r"\bwatchdog\b": "dead-man",
    r"\bunkill": "lift",
    r"\bliquidat(?:e|es|ed|ing|ion)\b": "unwind",
    r"\bsign-off\b": "attestation",
    r"\bmaster order\b": "parent order",
}
# Names that say nothing about what is behind them, as files, folders and classes.
EMPTY_NAMES = frozenset({"utils", "util", "common", "misc", "manager", "helper", "helpers", "data", "info"})
# Endings in digits that are names of things, not second versions of a name.
NUMBERED_THINGS = re.compile(r"(?:u?int|float|sha|crc|base|utf|ascii|blake|black|p|l|v|level)\d+[a-z]?$")

# The glossary lists the slips, this file does so too, and vendored files are not ours to name.
NOT_OURS = ("docs/GLOSSARY.md", "tests/tidy/", "controlplane/console/static/", "requirements/")
PROSE_ENDINGS = (".py", ".md", ".html", ".toml")


def name_slips(source: Source) -> Iterator[str]:
    """One sentence for every name of ours with a word we do not use."""
    for line, name in names_defined(source):
        words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
        pairs = {"_".join(pair) for pair in pairwise(words)}
        for slip, word in (*NAME_SLIPS.items(), *NAME_PAIR_SLIPS.items()):
            if slip in words or slip in pairs:
                yield f"{source.path}:{line} {name}: we say {word}"


def shape_slips(source: Source) -> Iterator[str]:
    """One sentence for every file, class or function whose name has a shape we do not use."""
    path = PurePosixPath(source.path)
    for part in (*path.parent.parts, path.stem):
        if part in EMPTY_NAMES:
            yield f"{source.path}: {part} says nothing; name the subject"
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        where = f"{source.path}:{node.lineno} {node.name}"
        if isinstance(node, ast.ClassDef) and node.name.lower().endswith(tuple(EMPTY_NAMES - {"data", "info"})):
            yield f"{where}: say what it is"
        if re.match(r"do_|new_(?!york)|is_not_|not_", node.name):
            yield f"{where}: use a verb of the trade, and state the positive"
        if node.name[-1].isdigit() and not NUMBERED_THINGS.search(node.name.lower()):
            yield f"{where}: a number is no name"


def prose_slips(path: str, text: str) -> Iterator[str]:
    """One sentence for every phrase we do not use, in documents, pages, messages and comments."""
    for pattern, word in PROSE_SLIPS.items():
        for found in re.finditer(pattern, text, re.IGNORECASE):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path}:{line} {found.group(0)!r}: we say {word}"


def names_defined(source: Source) -> Iterator[tuple[int, str]]:
    """Every name that a file gives to something: classes, functions, arguments, variables, attributes, keywords."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def test_names_use_our_words(repository: Path) -> None:
    found = [slip for source in read_sources(repository) for slip in (*name_slips(source), *shape_slips(source))]

    assert found == []


def test_sentences_use_our_words(repository: Path) -> None:
    found = [
        slip
        for path in tracked_files(repository)
        if path.endswith(PROSE_ENDINGS) and not path.startswith(NOT_OURS)
        for slip in prose_slips(path, (repository / path).read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "sub_order = 1",
        "def f(open_orders): ...",
        "class OrderFilter: ...",
        "self.watchdogTimer = 1",
        "def send_modify_order(): ...",
        "RISK_ENGINE_SOCKET = 1",
    ],
)
def test_slip_in_a_name_is_found(text: str) -> None:
    assert len(list(name_slips(Source("executor/x.py", text)))) == 1


@pytest.mark.parametrize(
    "text", ["working_orders = 1", "def released(): ...", "total = other.open_orders", "mutes = 1"]
)
def test_our_words_and_other_peoples_pass(text: str) -> None:
    assert list(name_slips(Source("executor/x.py", text))) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("executor/utils.py", ""),
        ("executor/common/x.py", ""),
        ("executor/x.py", "class OrderManager: ..."),
        ("executor/x.py", "def do_work(): ..."),
        ("executor/x.py", "def is_not_fresh(): ..."),
        ("executor/x.py", "def send2(): ..."),
    ],
)
def test_slip_in_a_shape_is_found(path: str, text: str) -> None:
    assert len(list(shape_slips(Source(path, text)))) == 1


@pytest.mark.parametrize(
    "text", ["def latency_p99(): ...", "def sha256(): ...", "def as_int64(): ...", "class L2: ..."]
)
def test_numbered_things_pass(text: str) -> None:
    assert list(shape_slips(Source(f"{PACKAGES[0]}/x.py", text))) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Good.\nThe gate rejected it.", 2),
        ("Rejected by the gate", 1),
        ("the venue denied it", 1),
        ("an Audit Trail", 1),
    ],
)
def test_slip_in_a_sentence_is_found_with_its_line(text: str, line: int) -> None:
    found = list(prose_slips("docs/x.md", text))

    assert [one.split(" ")[0] for one in found] == [f"docs/x.md:{line}"]


def test_right_sentences_pass() -> None:
    text = "The gate denies, the venue rejects, an adapter refuses a permit. The gate is refusing nobody's cancel."

    assert list(prose_slips("docs/x.md", text)) == []
