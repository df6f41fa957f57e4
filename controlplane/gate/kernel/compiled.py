"""How the gate's rules become machine code: three decorators, memory by address, and a cache that can't go stale.

numba keeps compiled code beside a digest of one file only, the entry's. A rule changed in another file would leave
the old machine code in use, so the cache lives in a folder named after the digest of everything that is compiled
in.
"""

import hashlib
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).resolve().parents[2]
COMPILED_IN = (
    "gate/kernel/**/*.py", "gate/one_call.py", "gate/protocol.py", "gate/words.py", "domain/*.py", "journal/record.py",
)  # fmt: skip
DIGEST_LETTERS = 16
WORD_BYTES = 8
LINE_WORDS = 8  # of one cache line


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


# --- words at an address ----------------------------------------------------------------------------------------------


class WordsType(types.Type):
    """int64 words behind an address: one pointer, no length, no negative index.

    numba's arrays carry seven values into every call and ask on each access whether the index is negative; both cost
    more than the checks of the gate. Nothing checks an index here: who forms an address vouches for the memory. The
    same functions also take numpy arrays, for loading and tests.
    """

    def __init__(self) -> None:
        super().__init__(name="Words")


WORDS = WordsType()


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


def aligned_zeros(words: int) -> Any:
    """Return int64 zeros that start on a cache line, so that no row touches one line more than it has to."""
    room = np.zeros(words + LINE_WORDS, np.int64)
    skipped = -room.ctypes.data % (LINE_WORDS * WORD_BYTES) // WORD_BYTES
    return room[skipped : skipped + words]


@intrinsic
def words_at(_typing_context: Any, address: Any) -> Any:
    """Return the words at an address; the caller vouches for the memory."""

    def generate(context: Any, builder: Any, made: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(made.return_type))

    return signature(WORDS, types.int64), generate


@intrinsic
def seldom(_typing_context: Any) -> Any:
    """Say that the function which calls this is seldom called: it stays out of line, and every way to it out of the way
    of what runs each time.
    """

    def generate(context: Any, builder: Any, _signature: Any, _given: Any) -> Any:
        builder.function.attributes.add("noinline")
        builder.function.attributes.add("cold")
        return context.get_dummy_value()

    return signature(types.none), generate


@intrinsic
def fetch(_typing_context: Any, words: Any, word: Any) -> Any:
    """Have the cache line of a word brought near, to be written soon; nothing waits for it and nothing can go wrong."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        order = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), (byte, number, number, number)), "llvm.prefetch.p0"
        )
        place = builder.bitcast(_place(builder, given[0], given[1]), byte)
        builder.call(order, (place, ir.Constant(number, 1), ir.Constant(number, 3), ir.Constant(number, 1)))
        return context.get_dummy_value()

    return signature(types.none, WORDS, types.int64), generate


@infer_global(operator.getitem)
class _Reading(AbstractTemplate):
    def generic(self, given: Any, _named: Any) -> Any:
        words, index = given
        if isinstance(words, WordsType) and isinstance(index, types.Integer):
            return signature(types.int64, words, types.int64)
        return None


@infer_global(operator.setitem)
class _Writing(AbstractTemplate):
    def generic(self, given: Any, _named: Any) -> Any:
        words, index, value = given
        is_word = isinstance(value, types.Integer | types.Boolean | types.IntEnumMember)
        if isinstance(words, WordsType) and isinstance(index, types.Integer) and is_word:
            return signature(types.none, words, types.int64, types.int64)
        return None


def _place(builder: Any, words: Any, index: Any) -> Any:
    return builder.gep(words, [index], inbounds=True)


@lower_builtin(operator.getitem, WordsType, types.Integer)
def _read(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
    return builder.load(_place(builder, given[0], given[1]), align=WORD_BYTES)


@lower_builtin(operator.setitem, WordsType, types.Integer, types.Integer)
def _write(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
    builder.store(given[2], _place(builder, given[0], given[1]), align=WORD_BYTES)
    return context.get_dummy_value()
