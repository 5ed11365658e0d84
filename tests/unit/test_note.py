"""Signed notes, checkpoints and cosignatures: published vectors, and everything else refused."""

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.checkpoint import (
    Checkpoint,
    origin_of,
    read_checkpoint,
    read_hash,
    read_size,
    read_submission,
    write_submission,
)
from custody.merkle import TreeHead, leaf_hash
from custody.note import (
    COSIGNATURE,
    MOST_BYTES,
    SIGNATURE,
    Note,
    NoteInvalidError,
    VerifierKey,
    cosign,
    cosigned_at,
    parse_note,
    require_signed,
    sign_note,
)

VECTOR = json.loads(
    (Path(__file__).parents[1] / "vectors" / "merkle.json").read_text(encoding="utf-8")
)["note"]
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ORIGIN = origin_of(UUID(int=7))
HEAD = TreeHead(size=12, root=leaf_hash(b"root"))
TEXT = Checkpoint(origin=ORIGIN, head=HEAD).text()
KEY = VerifierKey.of(ORIGIN, SIGNATURE, PRIVATE)
AT = datetime(2026, 11, 28, 5, 0, 1, tzinfo=UTC)
NAME = "witness.example/w1"
WITNESS_KEY = VerifierKey.of(NAME, COSIGNATURE, WITNESS)


def signed() -> Note:
    return sign_note(TEXT, ORIGIN, PRIVATE)


def cosigned() -> Note:
    note = signed()
    return Note(text=note.text, lines=(*note.lines, cosign(note, NAME, WITNESS, AT)))


def test_a_published_note_verifies() -> None:
    key = VerifierKey.parse(VECTOR["key"])
    note = parse_note(f"{VECTOR['text']}\n{VECTOR['line']}\n".encode())
    assert note.text == VECTOR["text"]
    require_signed(note, key)
    assert str(key) == VECTOR["key"]


def test_any_flipped_bit_of_a_published_note_is_noticed() -> None:
    key = VerifierKey.parse(VECTOR["key"])
    written = f"{VECTOR['text']}\n{VECTOR['line']}\n".encode()
    for place in range(len(written)):
        for bit in range(8):
            changed = bytearray(written)
            changed[place] ^= 1 << bit
            with pytest.raises(NoteInvalidError):
                require_signed(parse_note(bytes(changed)), key)


def test_a_checkpoint_is_what_the_docstring_draws() -> None:
    lines = str(signed()).split("\n")
    assert lines[:4] == [ORIGIN, "12", TEXT.split("\n")[2], ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert read_checkpoint(parse_note(str(signed()).encode())) == Checkpoint(
        origin=ORIGIN, head=HEAD
    )


def test_a_cosignature_says_when_and_covers_the_text_only() -> None:
    note = parse_note(str(cosigned()).encode())
    assert cosigned_at(note, WITNESS_KEY) == AT
    require_signed(note, KEY)
    alone = Note(text=note.text, lines=note.lines[1:])
    assert cosigned_at(alone, WITNESS_KEY) == AT
    with pytest.raises(NoteInvalidError):
        require_signed(alone, KEY)


def test_a_cosignature_of_another_time_text_or_key_is_refused() -> None:
    note = cosigned()
    of_another = VerifierKey.of(NAME, COSIGNATURE, PRIVATE)
    as_signature = VerifierKey.of(NAME, SIGNATURE, WITNESS)
    for key in (of_another, as_signature):
        with pytest.raises(NoteInvalidError):
            cosigned_at(note, key)
    with pytest.raises(NoteInvalidError):
        cosigned_at(Note(text=note.text.replace("12", "13"), lines=note.lines), WITNESS_KEY)
    later = cosign(note, NAME, WITNESS, AT.replace(second=2)).split(" ")[2]
    mixed = later[:17] + note.lines[1].split(" ")[2][17:]  # id and time of one, the rest of another
    with pytest.raises(NoteInvalidError):
        cosigned_at(Note(text=note.text, lines=(f"— {NAME} {mixed}",)), WITNESS_KEY)


def test_a_signature_is_no_cosignature_and_the_other_way_round() -> None:
    """One key may sign both: what is signed never looks alike."""
    as_witness = VerifierKey.of(ORIGIN, COSIGNATURE, PRIVATE)
    with pytest.raises(NoteInvalidError):
        cosigned_at(signed(), as_witness)
    note = Note(text=TEXT, lines=(cosign(signed(), ORIGIN, PRIVATE, AT),))
    with pytest.raises(NoteInvalidError):
        require_signed(note, KEY)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        "text\n\n— name\n".encode(),
        "text\n\n— name AAAA".encode(),
        b"text\n\n- name AAAA\n",
        "text\n\n— na me AAAA\n".encode(),
        "text\n\n— na+me AAAA\n".encode(),
        "text\n\n— name AAAA\nmore\n".encode(),
        "te\x00xt\n\n— name AAAA\n".encode(),
        "te\rxt\n\n— name AAAA\n".encode(),
        b"\xff\n\n\xe2\x80\x94 name AAAA\n",
        b"x" * (MOST_BYTES + 1),
    ],
)
def test_what_is_no_note(written: bytes) -> None:
    with pytest.raises(NoteInvalidError):
        parse_note(written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        VECTOR["key"][:-1],
        VECTOR["key"].replace("c74f20a3", "c74f20a4"),
        VECTOR["key"].replace("Peter", "Pe ter"),
        "a+00000000+AAAA",
        str(VerifierKey(name="a", kind=2, public=bytes(32))),
        "++",
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(NoteInvalidError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n12\n",
        TEXT + "more\n",
        "\n" + TEXT,
        TEXT.replace("\n12\n", "\n012\n"),
        TEXT.replace("\n12\n", "\n-1\n"),
        TEXT.replace("\n12\n", "\n１２\n"),
        TEXT.replace("\n12\n", "\n" + "9" * 40 + "\n"),
        f"{ORIGIN}\n12\nAAAA\n",
        f"{ORIGIN}\n12\n*\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteInvalidError):
        read_checkpoint(Note(text=text, lines=()))


def test_a_hash_has_one_way_to_be_written() -> None:
    shown = TEXT.split("\n")[2]
    assert read_hash(shown) == HEAD.root
    unused_bits = shown[:-2] + chr(ord(shown[-2]) + 1) + "="
    for other in (unused_bits, shown.rstrip("="), shown + "\n", shown + " "):
        with pytest.raises(NoteInvalidError):
            read_hash(other)


def test_a_submission_comes_back_as_it_was_sent() -> None:
    path = [leaf_hash(bytes([n])) for n in range(3)]
    old, proof, written = read_submission(write_submission(4, path, signed()))
    assert (old, proof, written) == (4, path, str(signed()).encode())
    assert read_submission(write_submission(0, [], signed()))[:2] == (0, [])


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"old 1",
        b"old 01\n\nnote",
        b"new 1\n\nnote",
        b"old 1\nAAAA\n\nnote",
        "old 1\n—\n\nnote".encode(),
        write_submission(1, [bytes(32)] * 64, signed()),
    ],
)
def test_what_is_no_submission(written: bytes) -> None:
    with pytest.raises(NoteInvalidError):
        read_submission(written)


def test_a_size_is_plain() -> None:
    assert [read_size(one) for one in ("0", "7", "123456789012345678")] == [
        0,
        7,
        123456789012345678,
    ]


def test_the_error_survives_pickling() -> None:
    error = NoteInvalidError("not signed by the key", NAME)
    assert str(pickle.loads(pickle.dumps(error))) == f"not signed by the key: {NAME}"  # noqa: S301
