"""No key bytes stand in any error, whatever is wrong: passphrase, key file, entry, root, data key.

One contract for every provider of the root; the scan itself is tried on errors that do tell.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from key_bytes import everything_told, forms_found
from msgspec.structs import replace as replaced

from custody.errors import CustodyError, UsageError
from custody.keys import replacing
from custody.keys import root as roots
from custody.keys.keystore import Keystore, create_keystore
from custody.keys.root import (
    KeyFileProvider,
    PassphraseProvider,
    RootProvider,
    RootUnavailableError,
)
from custody.keys.token import TokenProvider
from custody.keys.wrapping import BucketKek
from custody.seal import DataKey, SealInvalidError, WrappingKey, new_key, open_at, open_seal, seal
from custody.suites import SUITES

WORDS = b"Quarz-Libelle, 7 Birnen"
INSTALLATION = UUID(int=0xC0FFEE)
KEK = "kek/open/0/1"
CONTEXT = (b"installation", b"record")
ANY_REFUSAL = (CustodyError, LookupError, ValueError, TypeError, AttributeError, OverflowError)


@pytest.fixture
def involved(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the secret of every root and every key-encryption key that the test comes to use."""
    secrets, take = [WORDS], WrappingKey.__init__

    def noting(key: WrappingKey, secret: bytes) -> None:
        secrets.append(secret)
        take(key, secret)

    monkeypatch.setattr(WrappingKey, "__init__", noting)
    monkeypatch.setattr(roots, "MEMORY_KIB", 8 * roots.LANES)
    monkeypatch.setattr(replacing.time, "sleep", lambda _: None)
    return secrets


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder with a keystore, its provider, and the secrets that come to be used."""

    folder: Path
    provider: Callable[[], RootProvider]
    involved: list[bytes]

    @property
    def file(self) -> Path:
        return self.folder / "store"

    def opened(self) -> Keystore:
        return Keystore(self.file, self.provider())

    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text()))

    def with_entry(self, name: str, wrapped: object) -> None:
        document = self.document()
        entries = {**document["entries"], name: wrapped}
        self.file.write_text(json.dumps({**document, "entries": entries}))


@pytest.fixture(params=["key file", "passphrase", "token"])
def place(request: pytest.FixtureRequest, tmp_path: Path, involved: list[bytes]) -> Place:
    token = request.getfixturevalue("token") if request.param == "token" else None
    providers: dict[str, Callable[[], RootProvider]] = {
        "key file": lambda: KeyFileProvider(tmp_path / "root"),
        "passphrase": lambda: PassphraseProvider(WORDS),
        "token": lambda: TokenProvider(token),
    }
    provider = providers[request.param]
    return made_place(tmp_path, provider, involved)


def made_place(folder: Path, provider: Callable[[], RootProvider], involved: list[bytes]) -> Place:
    made = Place(folder=folder, provider=provider, involved=involved)
    # A token is kept for all tests of a process, and has one root per installation.
    store = create_keystore(made.file, uuid4(), provider())
    store.add([KEK])
    involved += [store.secret(name) for name in store.names]
    return made


def refused(
    attempt: Callable[[], object],
    secrets: list[bytes],
    kind: type[Exception] | tuple[type[Exception], ...],
) -> Exception:
    """Return the error by which an attempt is refused, after looking for secrets in all it tells.

    Raises:
        AssertionError: It was not refused so, or tells key bytes.
    """
    with pytest.raises(kind) as failure:
        attempt()
    assert len(secrets) > 1, "there is something to look for"
    assert forms_found(everything_told(failure.value), secrets) == set()
    return failure.value


DAMAGES: Mapping[str, Callable[[str, bytes], object]] = {
    "a bit": lambda wrapped, _: f"{wrapped[:-1]}{int(wrapped[-1], 16) ^ 1:x}",
    "a byte less": lambda wrapped, _: wrapped[:-2],
    "half a byte less": lambda wrapped, _: wrapped[:-1],
    "nothing left": lambda _, __: "",
    "no hexadecimal": lambda wrapped, _: "zz" + wrapped[2:],
    "another version": lambda wrapped, _: "02" + wrapped[2:],
    "another suite": lambda wrapped, _: wrapped[:2] + "02" + wrapped[4:],
    "no suite": lambda wrapped, _: wrapped[:2] + "7f" + wrapped[4:],
    "a number": lambda _, __: 7,
    "a list": lambda wrapped, _: [wrapped],
    "in clear": lambda _, secret: secret.hex(),
    "in clear behind a header": lambda wrapped, secret: wrapped[:28] + secret.hex(),
    "in clear, in base64": lambda _, secret: base64.b64encode(secret).decode(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_refused_without_a_byte_of_any_key(place: Place, damage: str) -> None:
    store = place.opened()
    wrapped, secret = place.document()["entries"][KEK], store.secret(KEK)
    place.with_entry(KEK, DAMAGES[damage](wrapped, secret))
    for attempt in (
        lambda: place.opened().secret(KEK),
        lambda: place.opened().wrapping_key(KEK),
        lambda: place.opened().check_every_entry(),
        lambda: place.opened().rotate(),
    ):
        refused(attempt, place.involved, RootUnavailableError)


def test_an_entry_in_anothers_place_is_refused_without_a_byte_of_any_key(place: Place) -> None:
    place.with_entry(KEK, place.document()["entries"]["search"])
    refused(lambda: place.opened().secret(KEK), place.involved, RootUnavailableError)
    refused(lambda: place.opened().secret("nothing"), place.involved, RootUnavailableError)


@pytest.mark.parametrize("damage", ["cut", "no object", "another format", "no text"])
def test_a_damaged_keystore_is_refused_without_a_byte_of_any_key(place: Place, damage: str) -> None:
    """What stands in it is wrapped, but for a secret that somebody wrote there in clear."""
    clear = place.opened().secret(KEK).hex()
    whole = json.dumps({**place.document(), "note": clear})
    damaged = {
        "cut": whole[:-2].encode(),
        "no object": json.dumps([clear]).encode(),
        "another format": whole.replace('"format": 1', '"format": 2').encode(),
        "no text": b"\xff" + whole.encode(),
    }
    place.file.write_bytes(damaged[damage])
    refused(place.opened, place.involved, RootUnavailableError)


@pytest.mark.parametrize("value", ["in clear", "gone", "a number"])
def test_a_damaged_description_of_the_root_tells_no_byte_of_any_key(
    place: Place, value: str
) -> None:
    """Whatever refuses it: what is looked for here is what the refusal tells."""
    whole, clear = place.document(), place.opened().secret(KEK).hex() + "z"
    # A token's root is found by its label alone.
    unread = {"kind", "generation"} if "label" in whole["root"] else {"kind"}
    for name in whole["root"].keys() - unread:
        root = {**whole["root"], name: clear if value == "in clear" else -1}
        if value == "gone":
            del root[name]
        place.file.write_text(json.dumps({**whole, "root": root}))
        refused(place.opened, place.involved, ANY_REFUSAL)


def test_another_root_opens_nothing_and_tells_no_byte_of_either(place: Place) -> None:
    store, document = place.opened(), place.document()
    provider, installation = place.provider(), bytes.fromhex(document["installation"])
    if place.provider().kind == KeyFileProvider.kind:
        (place.folder / "root").unlink()
    if place.provider().kind == TokenProvider.kind:
        provider.destroy(document["root"])
    _, described = provider.create(installation, 1)
    place.file.write_text(json.dumps({**document, "root": described}))
    attempts = (lambda: place.opened().secret(KEK), store.rotate, lambda: place.opened().rotate())
    for attempt in attempts:
        refused(attempt, place.involved, RootUnavailableError)


def test_the_root_of_another_installation_opens_nothing_and_tells_nothing(place: Place) -> None:
    place.file.write_text(json.dumps({**place.document(), "installation": uuid4().hex}))
    refused(lambda: place.opened().secret(KEK), place.involved, RootUnavailableError)


@pytest.mark.parametrize("words", [b"", WORDS[:-1], WORDS + b" ", WORDS.swapcase(), b"\0" * 32])
def test_a_wrong_passphrase_is_refused_without_a_byte_of_any_key(
    tmp_path: Path, involved: list[bytes], words: bytes
) -> None:
    place = made_place(tmp_path, lambda: PassphraseProvider(WORDS), involved)
    involved += [words] if words else []
    stretched = len(involved)
    error = refused(
        lambda: Keystore(place.file, PassphraseProvider(words)), involved, RootUnavailableError
    )
    assert str(error) == "the root key is not available: the passphrase is wrong"
    assert len(involved) > stretched, "what was stretched of the wrong one was looked for too"
    refused(lambda: Keystore(place.file, PassphraseProvider(None)), involved, UsageError)


def test_a_root_of_another_generation_is_refused_as_a_wrong_passphrase(
    tmp_path: Path, involved: list[bytes]
) -> None:
    place = made_place(tmp_path, lambda: PassphraseProvider(WORDS), involved)
    document = place.document()
    for changed in ({"generation": 2}, {"salt": "00" * 16}, {"iterations": 1}):
        root = {**document["root"], **changed}
        place.file.write_text(json.dumps({**document, "root": root}))
        refused(place.opened, involved, RootUnavailableError)


@pytest.mark.parametrize(
    "content",
    [
        "1 {root:.62}",
        "1 {root:.63}",
        "1 {root}00",
        "1 zz{root:.62}",
        "{root} 1",
        "{root}",
        "1{root}",
        "1  {root}",
        "1 {root} {root}",
        "x{root} {root}",
        "1 {root}é",
        "1 {clear}",
        "2 {root}",
        "1 {root}\n{root}",
        "",
    ],
)
def test_a_damaged_key_file_is_refused_without_a_byte_of_it(
    tmp_path: Path, involved: list[bytes], content: str
) -> None:
    place = made_place(tmp_path, lambda: KeyFileProvider(tmp_path / "root"), involved)
    store, root = place.opened(), (tmp_path / "root").read_text().split()[1]
    assert bytes.fromhex(root) in involved
    clear = base64.b64encode(bytes.fromhex(root)).decode()
    (tmp_path / "root").write_text(content.format(root=root, clear=clear), "utf-8")
    for attempt in (place.opened, store.reload, store.rotate):
        refused(attempt, involved, RootUnavailableError)


def bucket(store: Keystore, generation: int = 1) -> BucketKek:
    return BucketKek(store.wrapping_key(KEK), INSTALLATION.bytes, "open", 0, generation)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_a_data_key_that_does_not_unwrap_is_refused_without_a_byte_of_any_key(
    tmp_path: Path, involved: list[bytes], suite: Any
) -> None:
    store = made_place(tmp_path, lambda: KeyFileProvider(tmp_path / "root"), involved).opened()
    key, customer = new_key(uuid4()), uuid4()
    involved.append(key.secret)
    row = bucket(store).wrap(customer, key, suite)
    for damaged in damaged_wraps(row.wrapped, key.secret):
        attempt = partial(bucket(store).open, replaced(row, wrapped=damaged))
        refused(attempt, involved, SealInvalidError)
        taken = bucket(store, 2).take_over(
            [(key.key_id.bytes, customer.bytes, damaged)], bucket(store), suite
        )
        refused(partial(list, taken), involved, SealInvalidError)
    for elsewhere in (replaced(row, customer_id=uuid4()), replaced(row, key_id=uuid4())):
        refused(partial(bucket(store).open, elsewhere), involved, SealInvalidError)
    refused(partial(bucket(store, 2).open, row), involved, SealInvalidError)
    other = BucketKek(WrappingKey(bytes(range(32))), INSTALLATION.bytes, "open", 0, 1)
    refused(partial(other.open, row), involved, SealInvalidError)


def damaged_wraps(wrapped: bytes, secret: bytes) -> Iterator[bytes]:
    yield wrapped[:-1] + bytes((wrapped[-1] ^ 1,))
    yield wrapped[:-1]
    yield b""
    yield secret
    yield wrapped[:14] + secret
    yield wrapped[:14] + secret + wrapped[-16:]
    yield wrapped[:1] + b"\x7f" + wrapped[2:]


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_a_seal_that_does_not_open_tells_no_byte_of_its_key_nor_of_what_it_hides(
    suite: Any,
) -> None:
    key, hidden = new_key(uuid4()), b"what nobody but the customer may read"
    sealed = seal(key, hidden, CONTEXT, suite)
    damaged = [
        sealed[:-1],
        sealed[:48],
        sealed[:48] + key.secret,
        sealed[:48] + hidden,
        sealed[:20] + key.secret[:16] + sealed[36:],
        sealed[:2] + b"\x7f" + sealed[3:],
    ]
    for one in damaged:
        for open_it in (open_seal, partial(open_at, "record 1")):
            refused(partial(open_it, key, one, CONTEXT), [key.secret, hidden], SealInvalidError)
    other = DataKey(key.key_id, bytes(range(32)))
    attempt = partial(open_seal, other, sealed, CONTEXT)
    refused(attempt, [key.secret, other.secret, hidden], SealInvalidError)


CANARY = bytes.fromhex("00275c0a9fd3e1b27c41f0e8887766554433ffeeddccbbaa27225c5d6e7f8091")


def chained(told: str) -> CustodyError:
    """Return an error that hides another, which tells."""
    error = RootUnavailableError("it does not open")
    error.__context__, error.__suppress_context__ = ValueError(told), True
    return error


def caused(told: str) -> CustodyError:
    error = RootUnavailableError("it does not open")
    error.__cause__ = ValueError(told)
    return error


def noted(told: str) -> CustodyError:
    error = RootUnavailableError("it does not open")
    error.add_note(told)
    return error


def keeping(told: str) -> CustodyError:
    error = RootUnavailableError("it does not open")
    error.kept = told  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("tell", [RootUnavailableError, chained, caused, noted, keeping])
@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("hex", CANARY.hex()),
        ("hex", CANARY.hex().upper()),
        ("hex", f"at {CANARY[11:20].hex()}"),
        ("raw", CANARY.decode("latin-1")),
        ("bytes", repr(CANARY)),
        ("bytes", f"found {CANARY[3:12]!r}"),
        ("text", repr(CANARY.decode("latin-1"))),
        ("numbers", repr(list(CANARY))),
        ("base64", base64.b64encode(CANARY).decode()),
        ("base64", base64.urlsafe_b64encode(CANARY).decode()),
        ("base64", base64.b64encode(b"x" + CANARY).decode()),
        ("base64", base64.b64encode(b"xy" + CANARY).decode().rstrip("=")),
    ],
)
def test_an_error_that_tells_key_bytes_is_found(
    tell: Callable[[str], CustodyError], form: str, shown: str
) -> None:
    assert form in forms_found(everything_told(tell(shown)), [bytes(32), CANARY])


def test_an_error_whose_arguments_are_key_bytes_is_found() -> None:
    error = RootUnavailableError("it does not open")
    error.args = (CANARY,)
    assert forms_found(everything_told(error), [CANARY]) >= {"bytes"}
    with pytest.raises(AssertionError):
        refused(partial(raise_it, error), [WORDS, CANARY], RootUnavailableError)


def test_an_error_that_tells_other_bytes_is_not_found() -> None:
    other = bytes(one ^ 0x5A for one in CANARY)
    assert forms_found(everything_told(caused(f"{other!r} {other.hex()}")), [CANARY]) == set()


def raise_it(error: CustodyError) -> None:
    raise error
