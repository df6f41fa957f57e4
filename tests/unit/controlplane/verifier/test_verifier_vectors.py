"""The judge's own reading of the public formats against the published vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.verifier.keys import NoKey, PublicKey, public_key
from controlplane.verifier.merkle import GrowingRoot, consistency_holds, inclusion_holds, leaf, leaves
from controlplane.verifier.notes import NoteWrong, checkpoint, proof_file
from controlplane.verifier.tiles import bundle_of, tile_name
from tests.support.transparency import VECTOR_ENTRIES, VECTOR_KEY, proof_vectors, slow_root, vectors_folder


def test_published_inclusion_proofs_are_judged_as_they_ask(recorded_data: Path) -> None:
    vectors = list(proof_vectors(recorded_data, "inclusion"))

    wrong = [
        one.name
        for one in vectors
        if inclusion_holds(
            one.values["leafIdx"], one.values["treeSize"], one.values["leafHash"], one.proof, one.values["root"]
        )
        != one.is_good
    ]

    assert (len(vectors), wrong) == (64, [])


def test_published_consistency_proofs_are_judged_as_they_ask(recorded_data: Path) -> None:
    vectors = list(proof_vectors(recorded_data, "consistency"))

    wrong = [
        one.name
        for one in vectors
        if consistency_holds(
            one.values["size1"], one.values["size2"], one.values["root1"], one.values["root2"], one.proof
        )
        != one.is_good
    ]

    assert (len(vectors), wrong) == (63, [])


def test_published_checkpoints_tiles_and_bundles_are_those_of_the_published_entries(recorded_data: Path) -> None:
    folder = vectors_folder(recorded_data) / "tlog_tiles"
    key = public_key(VECTOR_KEY)
    root = GrowingRoot()

    for size in range(1, 16):
        root.add(leaves(VECTOR_ENTRIES[size - 1 : size]))
        note = checkpoint((folder / f"checkpoint.{size}").read_bytes())
        assert note.signers([key]) == [key]
        assert (note.size, note.root) == (size, root.root())
        assert (folder / tile_name(0, 0, size)).read_bytes() == b"".join(leaves(VECTOR_ENTRIES[:size]))
        assert (folder / tile_name("entries", 0, size)).read_bytes() == bundle_of(VECTOR_ENTRIES[:size])
    empty = checkpoint((folder / "checkpoint.0").read_bytes())
    assert (empty.size, empty.root) == (0, GrowingRoot().root())


def test_published_signatures_with_another_encoding_of_a_point_are_refused(recorded_data: Path) -> None:
    vectors = json.loads((vectors_folder(recorded_data) / "ed25519vectors.json").read_bytes())
    verdicts = [
        (
            PublicKey("x", 1, bytes.fromhex(one["key"])).signed(one["msg"].encode(), bytes.fromhex(one["sig"])),
            set(one["flags"] or ()),
        )
        for one in vectors
    ]

    assert len(verdicts) == 914
    assert not any(is_good for is_good, flags in verdicts if flags & {"non_canonical_A", "non_canonical_R"})
    assert {is_good for is_good, flags in verdicts if "low_order_residue" in flags} == {False}
    assert any(is_good for is_good, _ in verdicts)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_root_of_entries_that_arrive_in_any_parts_is_that_of_the_definition(parts: list[int]) -> None:
    entries = [str(number).encode() for number in range(sum(parts))]
    root = GrowingRoot()

    taken = 0
    for count in parts:
        root.add(leaves(entries[taken : taken + count]))
        taken += count

    assert root.root() == slow_root(entries)


@pytest.mark.parametrize(
    ("level", "number", "width", "name"),
    [
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        ("entries", 5, 3, "tile/entries/005.p/3"),
        (2, 1000, 256, "tile/2/x001/000"),
    ],
)
def test_names_are_those_of_the_public_layout(level: int | str, number: int, width: int, name: str) -> None:
    assert tile_name(level, number, width) == name


@pytest.mark.parametrize("text", ["", "x", "a+b+c", VECTOR_KEY + "A", VECTOR_KEY.replace("33d7", "33d8"), "é+1+2"])
def test_what_isnt_a_key_is_said(text: str) -> None:
    with pytest.raises(NoKey, match="Expected"):
        public_key(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"a\n1\n",
        b"a\n1\nAAAA\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"a\n01\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"a\n1\n" + b"A" * 43 + b"=\n\n- a AAAAAAA=\n",
        b"a\n1\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 a AAAA\n",
        b"a\n" + b"9" * 5_000 + b"\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"a\x00\n1\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"x" * 2_000_000,
    ],
)
def test_what_isnt_a_checkpoint_is_said(content: bytes) -> None:
    with pytest.raises(NoteWrong, match="Expected"):
        checkpoint(content)
    with pytest.raises(NoteWrong, match="Expected"):
        proof_file(b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + content)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_readers_fall_over(content: bytes) -> None:
    for read in (checkpoint, proof_file, lambda one: public_key(one.decode("latin-1"))):
        try:
            read(content)
        except (NoteWrong, NoKey):
            continue
    assert len(leaf(content)) == 32
