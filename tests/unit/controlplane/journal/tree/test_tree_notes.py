"""Signed notes: the published checkpoints and signatures, and every way in which a note can be refused."""

import json
from pathlib import Path

import pytest

from controlplane.domain.errors import EvidenceError, InvalidRequest
from controlplane.journal.tree.keys import SigningKey, is_signature, load_or_make_key
from controlplane.journal.tree.notes import (
    COSIGNATURE,
    LOG_SIGNATURE,
    Checkpoint,
    Note,
    NoteRefused,
    VerifierKey,
    cosignature_line,
    cosigned_message,
    cosigned_seconds,
    log_line,
    parse_checkpoint,
    parse_key,
    parse_note,
    parse_signature_lines,
    signers_of,
)
from tests.support.journal import QuietDisk
from tests.support.transparency import VECTOR_ENTRIES, VECTOR_KEY, slow_root, vectors_folder

LOG = SigningKey.from_seed(b"l" * 32)
WITNESS = SigningKey.from_seed(b"w" * 32)
LOG_KEY = VerifierKey("example.com/log", LOG_SIGNATURE, LOG.public)
WITNESS_KEY = VerifierKey("witness.example/w1", COSIGNATURE, WITNESS.public)
TEXT = Checkpoint("example.com/log", 5, b"r" * 32).text


def signed(text: bytes = TEXT) -> Note:
    return Note(text, (log_line(LOG_KEY, LOG.sign(text)),))


def cosigned(seconds: int = 1_790_000_000) -> Note:
    line = cosignature_line(WITNESS_KEY, WITNESS.sign(cosigned_message(TEXT, seconds)), seconds)
    return Note(TEXT, (*signed().lines, line))


def test_published_checkpoints_are_signed_by_the_published_key(recorded_data: Path) -> None:
    key = parse_key(VECTOR_KEY)
    folder = vectors_folder(recorded_data) / "tlog_tiles"
    paths = sorted(folder.glob("checkpoint*"))

    notes = [parse_note(path.read_bytes()) for path in paths]

    assert len(notes) == 17
    assert {signers_of(note, [key], is_signature) for note in notes} == {(key,)}
    for note in notes:
        checkpoint = parse_checkpoint(note.text)
        assert checkpoint.root == slow_root(list(VECTOR_ENTRIES[: checkpoint.size]))
        assert checkpoint.text == note.text
    assert [note.content for note in notes] == [path.read_bytes() for path in paths]
    assert key.text == VECTOR_KEY


def test_published_signatures_with_another_encoding_of_a_point_are_refused(recorded_data: Path) -> None:
    vectors = json.loads((vectors_folder(recorded_data) / "ed25519vectors.json").read_bytes())

    verdicts = {
        vector["number"]: is_signature(
            bytes.fromhex(vector["key"]), bytes.fromhex(vector["sig"]), vector["msg"].encode()
        )
        for vector in vectors
    }

    flags = {vector["number"]: set(vector["flags"] or ()) for vector in vectors}
    assert len(vectors) == 914
    assert [number for number, is_good in verdicts.items() if is_good and NON_CANONICAL & flags[number]] == []
    # Either answer is right for these, but it has to be one and the same.
    residues = {verdicts[number] for number, found in flags.items() if "low_order_residue" in found}
    assert residues == {False}
    assert any(verdicts.values())


NON_CANONICAL = {"non_canonical_A", "non_canonical_R"}


def test_log_and_witness_are_told_apart_by_their_lines() -> None:
    note = parse_note(cosigned().content)

    found = signers_of(note, [LOG_KEY, WITNESS_KEY], is_signature)

    assert found == (LOG_KEY, WITNESS_KEY)
    assert cosigned_seconds(note.lines[1]) == 1_790_000_000
    assert parse_signature_lines((note.lines[1].text + "\n").encode()) == note.lines[1:]


@pytest.mark.case("EVIDENCE-32")
def test_line_of_an_unknown_key_is_left_alone_and_a_known_keys_bad_signature_refuses_the_note() -> None:
    stranger = cosignature_line(VerifierKey("x.example/w", COSIGNATURE, bytes(32)), bytes(64), 5)
    spoilt = cosignature_line(WITNESS_KEY, bytes(64), 5)

    with_stranger = Note(TEXT, (stranger, *signed().lines))

    assert signers_of(parse_note(with_stranger.content), [LOG_KEY], is_signature) == (LOG_KEY,)
    with pytest.raises(NoteRefused, match=r"signature of witness\.example/w1 to fit"):
        signers_of(Note(TEXT, (*signed().lines, spoilt)), [LOG_KEY, WITNESS_KEY], is_signature)


@pytest.mark.case("EVIDENCE-31")
def test_note_of_a_replaced_key_is_refused() -> None:
    replaced = VerifierKey("example.com/log", LOG_SIGNATURE, SigningKey.from_seed(b"x" * 32).public)

    with pytest.raises(NoteRefused, match="signature of a known key, found none"):
        signers_of(signed(), [replaced], is_signature)


def test_cosignature_moved_to_another_time_doesnt_fit() -> None:
    line = cosigned(7).lines[1]
    later = cosignature_line(WITNESS_KEY, line.signature[8:], 8)

    with pytest.raises(NoteRefused, match="to fit"):
        signers_of(Note(TEXT, (later,)), [WITNESS_KEY], is_signature)


def test_signature_of_one_kind_isnt_taken_for_the_other() -> None:
    as_witness = VerifierKey("example.com/log", COSIGNATURE, LOG.public)
    line = cosignature_line(as_witness, LOG.sign(TEXT), 5)

    with pytest.raises(NoteRefused):
        signers_of(Note(TEXT, (line,)), [LOG_KEY, as_witness], is_signature)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAA=",
        b"text\n\n\xe2\x80\x94 a AAAAAA==\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAB=\n",
        b"text\n\n\xe2\x80\x94 a+b AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94  AAAAAAA=\n",
        b"text\n\n- a AAAAAAA=\n",
        b"te\x07xt\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"x" * 70_000,
        b"text\n\n" + "\u2014 a AAAAAAA=\n".encode() * 65,
    ],
)
def test_what_isnt_a_note_is_refused(content: bytes) -> None:
    with pytest.raises(NoteRefused, match="Expected"):
        parse_note(content)


@pytest.mark.parametrize(
    "text",
    [
        b"a\n5\n",
        b"a\n05\n" + b"A" * 43 + b"=\n",
        b"a\n-5\n" + b"A" * 43 + b"=\n",
        b"a\n99999999999999999999\n" + b"A" * 43 + b"=\n",
        b"a\n5\nAAAA\n",
        b"a\n5\n" + b"A" * 43 + b"=\n\nx\n",
        b"\n5\n" + b"A" * 43 + b"=\n",
        b"a\n5\n" + b"A" * 43 + b"=",
    ],
)
def test_what_isnt_a_checkpoint_is_refused(text: bytes) -> None:
    with pytest.raises(NoteRefused, match="Expected"):
        parse_checkpoint(text)


def test_extension_lines_of_a_checkpoint_are_left_alone() -> None:
    assert parse_checkpoint(TEXT + b"more\n") == parse_checkpoint(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        "a b+00000000+AAAA",
        VECTOR_KEY.replace("33d7b496", "33d7b497"),
        VECTOR_KEY[:-4],
        VECTOR_KEY.replace("+AeH", "+BeH"),
    ],
)
def test_what_isnt_a_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Expected"):
        parse_key(text)


def test_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"

    made, again = (load_or_make_key(path, disk=QuietDisk()) for _ in range(2))

    assert made.public == again.public
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(EvidenceError, match="chmod 600"):
        load_or_make_key(path, disk=QuietDisk())
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(EvidenceError, match="private key"):
        load_or_make_key(path, disk=QuietDisk())
