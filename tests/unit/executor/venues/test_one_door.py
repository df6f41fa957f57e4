"""There is one way to a venue: a test that reads every source and fails when a second one appears (GT64)."""

import ast
from pathlib import Path

import executor

ROOT = Path(executor.__file__).parent
DOOR = "engine/submit.py"
# Adapters may hand bytes to sockets; nothing else in the product may call a method of these names on anything.
ADAPTERS = "venues/"


def calls(path: Path) -> list[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.func.attr, ast.unparse(node.func.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def test_only_submit_sends_to_an_adapter() -> None:
    sources = {path.relative_to(ROOT).as_posix(): calls(path) for path in ROOT.rglob("*.py")}
    senders = {
        name
        for name, found in sources.items()
        if any("venues" in owner and method in ("send", "cancel") for method, owner in found)
    }

    assert senders == {DOOR}


def test_wire_methods_are_called_by_the_base_adapter_alone() -> None:
    sources = {path.relative_to(ROOT).as_posix(): calls(path) for path in ROOT.rglob("*.py")}
    callers = {
        name
        for name, found in sources.items()
        if any(method in ("_transmit", "_transmit_cancel") for method, _ in found)
    }

    assert callers == {"venues/port.py"}


def test_links_are_used_by_adapters_alone() -> None:
    sources = {path.relative_to(ROOT).as_posix(): calls(path) for path in ROOT.rglob("*.py")}
    callers = {name for name, found in sources.items() if any(method == "transmit" for method, _ in found)}

    assert callers == {"venues/simulated.py"}
