"""A witness cosigns what extends what it saw, and nothing else, also over HTTP and after a kill."""

import http.client
import json
import socket
import stat
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from served_witness import served

from custody.checkpoint import (
    Checkpoint,
    CheckpointContradictedError,
    origin_of,
    read_checkpoint,
    write_submission,
)
from custody.errors import UsageError
from custody.merkle import (
    Range,
    TreeHead,
    consistency_ranges,
    leaf_hash,
    root_of_leaves,
)
from custody.note import (
    SIGNATURE,
    Note,
    VerifierKey,
    cosigned_at,
    parse_note,
    require_signed,
    sign_note,
)
from custody.outside.witness import NotCosignedError, Witness
from custody.outside.witness_client import WitnessPlace, WitnessUnreachableError

AT = datetime(2026, 11, 28, 5, 0, tzinfo=UTC)
LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = origin_of(UUID(int=7))
LOG_KEY = VerifierKey.of(ORIGIN, SIGNATURE, LOG)
LEAVES = [leaf_hash(bytes([n])) for n in range(80)]
REWRITTEN = [leaf_hash(b"other"), *LEAVES[1:]]


def at() -> datetime:
    return AT


def head(size: int, leaves: list[bytes] = LEAVES) -> TreeHead:
    return TreeHead(size=size, root=root_of_leaves(leaves[:size]))


def note(size: int, leaves: list[bytes] = LEAVES, key: Ed25519PrivateKey = LOG) -> Note:
    return sign_note(Checkpoint(origin=ORIGIN, head=head(size, leaves)).text(), ORIGIN, key)


def prove(old: int, new: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    def root(of: Range) -> bytes:
        return root_of_leaves(leaves[slice(*of)])

    return [root(one) for one in consistency_ranges(old, new)]


def submission(old: int, new: int, leaves: list[bytes] = LEAVES) -> bytes:
    return write_submission(old, prove(old, new, leaves) if old else [], note(new, leaves))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    made = Witness.create(tmp_path / "w", "witness.example/w1")
    made.trust(LOG_KEY)
    return made


def refused(witness: Witness, submitted: bytes) -> tuple[int, int | None]:
    with pytest.raises(NotCosignedError) as not_cosigned:
        witness.add(submitted, at)
    return not_cosigned.value.status, not_cosigned.value.size


def test_it_cosigns_what_extends_the_last_one(witness: Witness) -> None:
    for old, new in ((0, 5), (5, 5), (5, 6), (6, 64), (64, 80)):
        line = witness.add(submission(old, new), at)
        cosigned = parse_note(str(note(new)).encode() + line.encode())
        assert cosigned_at(cosigned, witness.key) == AT
        kept = witness.last(ORIGIN)
        assert kept is not None
        assert read_checkpoint(kept).head == head(new)
        require_signed(kept, LOG_KEY)
        cosigned_at(kept, witness.key)


def test_it_refuses_in_the_words_of_the_specification(witness: Witness) -> None:
    witness.add(submission(0, 10), at)
    unknown = sign_note(Checkpoint(origin="x/y", head=head(3)).text(), "x/y", LOG)
    assert refused(witness, b"nonsense") == (400, None)
    assert refused(witness, write_submission(11, [], note(10))) == (400, None)
    assert refused(witness, write_submission(0, [], unknown)) == (404, None)
    other = Ed25519PrivateKey.generate()
    assert refused(witness, write_submission(10, prove(10, 12), note(12, key=other))) == (403, None)
    assert refused(witness, submission(9, 12)) == (409, 10)
    assert refused(witness, submission(0, 12)) == (409, 10)
    assert refused(witness, write_submission(10, [], note(10, REWRITTEN))) == (409, 10)
    assert refused(witness, submission(10, 12, REWRITTEN)) == (422, None)
    assert refused(witness, write_submission(10, prove(9, 12), note(12))) == (422, None)
    assert refused(witness, write_submission(10, [], note(12))) == (422, None)
    witness.add(submission(10, 12), at)


def test_what_it_cosigned_is_there_after_a_restart(witness: Witness) -> None:
    witness.add(submission(0, 10), at)
    again = Witness.open(witness.folder)
    assert refused(again, submission(0, 12)) == (409, 10)
    assert again.key == witness.key
    again.add(submission(10, 12), at)


def test_a_cosignature_that_could_not_be_kept_is_not_given(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "no space left")

    witness.add(submission(0, 10), at)
    monkeypatch.setattr("custody.outside.witness.write_durably", full)
    with pytest.raises(OSError, match="no space"):
        witness.add(submission(10, 12), at)
    monkeypatch.undo()
    assert refused(witness, submission(12, 14)) == (409, 10)


def test_its_folder_is_private_and_its_own(witness: Witness) -> None:
    assert stat.S_IMODE(witness.folder.stat().st_mode) == 0o700
    for file in witness.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    with pytest.raises(UsageError):
        Witness.create(witness.folder, "another")
    with witness.alone(), pytest.raises(UsageError), witness.alone():
        pass
    for name in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(UsageError):
            Witness.create(witness.folder / "other", name)
        assert not (witness.folder / "other").exists()
    for file in ("witness.json", "witness.key"):
        kept = (witness.folder / file).read_bytes()
        (witness.folder / file).write_bytes(b"{}")
        with pytest.raises(UsageError):
            Witness.open(witness.folder)
        (witness.folder / file).write_bytes(kept)


def test_a_log_keeps_its_key(witness: Witness) -> None:
    witness.trust(LOG_KEY)
    with pytest.raises(UsageError):
        witness.trust(VerifierKey.of(ORIGIN, SIGNATURE, Ed25519PrivateKey.generate()))
    with pytest.raises(UsageError):
        witness.trust(witness.key)
    assert Witness.open(witness.folder).logs == {ORIGIN: LOG_KEY}


def ask(place: WitnessPlace, size: int, last: int = 0, leaves: list[bytes] = LEAVES) -> Note:
    return place.cosigned(
        note(size, leaves),
        head(size, leaves),
        lambda old: prove(old, size, leaves),
        last,
    )


def test_over_http_a_log_gets_cosigned_and_the_last_one_is_told(witness: Witness) -> None:
    with served(witness, at) as place:
        assert place.last(ORIGIN) is None
        for size, last in ((5, 0), (7, 5), (9, 0), (9, 9)):  # of the third it forgot the last
            cosigned = ask(place, size, last)
            assert cosigned_at(cosigned, witness.key) == AT
            require_signed(cosigned, LOG_KEY)
            told = place.last(ORIGIN)
            assert told is not None
            assert read_checkpoint(told).head == head(size)
        assert place.last("custody/of-nobody") is None


def test_over_http_a_log_that_was_cut_or_rewritten_is_told_so(witness: Witness) -> None:
    with served(witness, at) as place:
        ask(place, 10)
        for size, last, leaves in (
            (9, 0, LEAVES),
            (9, 9, LEAVES),
            (10, 10, REWRITTEN),
            (12, 10, REWRITTEN),
            (12, 0, REWRITTEN),
        ):
            with pytest.raises(CheckpointContradictedError) as contradicted:
                ask(place, size, last, leaves)
            assert contradicted.value.size == 10
        ask(place, 12, 10)


def test_at_the_same_time_no_two_contradicting_ones_are_cosigned(witness: Witness) -> None:
    with served(witness, at) as place:
        ask(place, 10)
        tried = [(size, leaves) for size in range(11, 31) for leaves in (LEAVES, REWRITTEN)]

        def one(size: int, leaves: list[bytes]) -> tuple[int, bytes] | None:
            try:
                ask(place, size, 10, leaves)
            except (CheckpointContradictedError, NotCosignedError):
                return None
            return size, head(size, leaves).root

        with ThreadPoolExecutor(8) as pool:
            cosigned = [got for got in pool.map(lambda each: one(*each), tried) if got]
    assert cosigned
    assert all(head(size).root == root for size, root in cosigned)


def test_who_does_not_answer_as_a_witness_is_not_believed(witness: Witness) -> None:
    silent = WitnessPlace(url="http://127.0.0.1:9", key=witness.key)
    with pytest.raises(WitnessUnreachableError):
        silent.last(ORIGIN)
    with served(witness, at) as place:
        ask(place, 5)
        somebody = VerifierKey.of(
            witness.name, witness.key.kind, Ed25519PrivateKey.from_private_bytes(bytes(32))
        )
        for name in (somebody, VerifierKey.of("else", witness.key.kind, witness.private)):
            with pytest.raises(WitnessUnreachableError):
                ask(WitnessPlace(url=place.url, key=name), 6, 5)


def test_http_of_any_shape_gets_an_answer_and_leaves_it_at_work(witness: Witness) -> None:
    with served(witness, at) as place:
        address = place.url.removeprefix("http://")
        for method, path, body, headers, status in (
            ("POST", "/else", b"", {}, 404),
            ("GET", "/", None, {}, 404),
            ("GET", "/checkpoint/../witness.key", None, {}, 404),
            ("POST", "/add-checkpoint", b"", {"Content-Length": "-1"}, 413),
            ("POST", "/add-checkpoint", b"", {"Content-Length": "99999999999"}, 413),
            ("POST", "/add-checkpoint", b"\xff" * 100, {}, 400),
            ("PUT", "/add-checkpoint", b"", {}, 501),
        ):
            connection = http.client.HTTPConnection(address, timeout=5)
            connection.request(method, path, body, headers)
            assert connection.getresponse().status == status, (method, path, headers)
            connection.close()
        ask(place, 5)


def test_its_settings_are_plain_to_read(witness: Witness) -> None:
    settings = json.loads((witness.folder / "witness.json").read_text(encoding="utf-8"))
    assert settings == {"name": "witness.example/w1", "logs": [str(LOG_KEY)]}


def test_lines_that_anybody_added_are_not_kept_and_do_no_harm(witness: Witness) -> None:
    """A checkpoint can be fetched and sent again by anybody, with whatever they add to it."""
    genuine = note(5)
    own = f"— {witness.name} {b64encode(witness.key.key_id + bytes(72)).decode()}"
    log = f"— {ORIGIN} {b64encode(LOG_KEY.key_id + bytes(64)).decode()}"
    junk = [f"— x{n}/y {b64encode(bytes(60)).decode()}" for n in range(400)]
    padded = Note(text=genuine.text, lines=(own, log, *junk, *genuine.lines))
    witness.add(write_submission(0, [], padded), at)
    kept = witness.last(ORIGIN)
    assert kept is not None
    assert len(kept.lines) == 2
    require_signed(kept, LOG_KEY)
    assert cosigned_at(kept, witness.key) == AT
    forged = Note(text=genuine.text, lines=(own, log, *kept.lines))
    assert cosigned_at(forged, witness.key) == AT  # one good line is enough
    require_signed(forged, LOG_KEY)
    witness.add(submission(5, 7), at)


@contextmanager
def answering(answer: bytes, pause: float) -> Iterator[str]:
    """Answer one question, byte by byte with pauses, as a witness that is slow on purpose."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):
                peer.recv(65536)
                for byte in answer:
                    peer.sendall(bytes([byte]))
                    time.sleep(pause)

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_witness_that_drips_is_not_waited_for(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custody.outside.witness_client._SECONDS", 0.5)
    slow = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b"x" * 400
    with answering(slow, 0.1) as url:
        began = time.monotonic()
        with pytest.raises(WitnessUnreachableError):
            WitnessPlace(url=url, key=witness.key).last(ORIGIN)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("status", [301, 429, 500, 502, 503])
def test_what_a_proxy_says_for_a_witness_is_silence(witness: Witness, status: int) -> None:
    said = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    with answering(said, 0) as url, pytest.raises(WitnessUnreachableError):
        ask(WitnessPlace(url=url, key=witness.key), 5)
