"""How the gate's rules become machine code: three decorators, memory by address, and a cache that can't go stale.

numba keeps compiled code beside a digest of one file only, the entry's. A rule changed in another file would leave
the old machine code in use, so the cache lives in a folder named after the digest of everything that is compiled
in.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numba
import numpy as np
from numba import carray, config, types
from numba.core import cgutils
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).resolve().parents[2]
COMPILED_IN = ("gate/kernel/**/*.py", "domain/*.py", "journal/record.py")
DIGEST_LETTERS = 16
# Words that compiled code may reach from the address of a state: more than there are, since nothing checks.
ADDRESSABLE = 1 << 40


class Words(Protocol):
    """int64 words in one block of memory: the state of a gate, or a part of it."""

    def __getitem__(self, word: int) -> int: ...

    def __setitem__(self, word: int, value: int) -> None: ...


def compiled(function: Function) -> Function:
    """Return the function compiled when it is first used; it may call only other compiled ones."""
    made: Function = numba.njit(function)
    return made


def inlined(function: Function) -> Function:
    """Return a small function compiled into each of its callers."""
    made: Function = numba.njit(function, inline="always")
    return made


def entry(function: Function) -> Function:
    """Return a function that Python calls, compiled once per machine and set of sources."""
    config.CACHE_DIR = str(_cache_directory())
    made: Function = numba.njit(function, cache=True)
    return made


def _cache_directory() -> Path:
    """Return where the machine code of exactly these sources is kept; NUMBA_CACHE_DIR chooses another place."""
    digest = hashlib.sha256(numba.__version__.encode())
    for pattern in COMPILED_IN:
        for source in sorted(PACKAGE.glob(pattern)):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else PACKAGE / "gate" / "kernel" / "__pycache__"
    return base / f"gate-{digest.hexdigest()[:DIGEST_LETTERS]}"


@intrinsic
def pointer(_typing_context: Any, address: Any) -> Any:
    """Turn an integer address into an untyped pointer."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@inlined
def words_at(address: int, count: int) -> Any:
    """Return `count` int64 words at an address as an array, without copying; the caller vouches for the memory."""
    return carray(pointer(address), (count,), np.int64)
