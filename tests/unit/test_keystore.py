"""The keystore opens with its root and nothing else; tags are keyed, bound and cut as they say.

One contract for every provider of the root key; what is true of one only stands below it.
"""

import hmac
import json
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

import pytest
from dying import dying_at

from custody.errors import UsageError
from custody.keys import keystore as keystores
from custody.keys import replacing
from custody.keys import root as roots
from custody.keys import token as tokens
from custody.keys.document import EntryMissingError
from custody.keys.entries import KEPT_TAG_ENTRIES, OTHER_ENTRIES
from custody.keys.keystore import Keystore, create_keystore
from custody.keys.providers import RootPlace, open_keystore
from custody.keys.root import (
    KeyFileProvider,
    PassphraseProvider,
    RootProvider,
    RootUnavailableError,
)
from custody.keys.tags import SEARCH_BYTES, TAG_BYTES, Keyed, Tagger
from custody.keys.token import TokenPlace, TokenProvider
from custody.seal import encode_context
from custody.suites import AES_256_GCM, AES_256_GCM_SIV, SM4_GCM

WORDS = b"a passphrase of several words"
KEK = "kek/open/0/1"


@dataclass(frozen=True)
class Place:
    """A folder with a keystore, and its provider."""

    folder: Path
    provider: Callable[[], RootProvider]

    @property
    def replacements(self) -> int:
        """How often files are replaced in a rotation: the keystore twice, and a key file too."""
        return 4 if self.provider().kind == KeyFileProvider.kind else 2

    @property
    def file(self) -> Path:
        return self.folder / "store"

    def opened(self) -> Keystore:
        return Keystore(self.file, self.provider())

    def document(self) -> dict[str, object]:
        return dict(json.loads(self.file.read_text()))


@pytest.fixture(params=["key file", "passphrase", "token"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a keystore under each provider of the root; stretching costs next to nothing here."""
    monkeypatch.setattr(roots, "MEMORY_KIB", 8 * roots.LANES)
    token = request.getfixturevalue("token") if request.param == "token" else None
    providers: dict[str, Callable[[], RootProvider]] = {
        "key file": lambda: KeyFileProvider(tmp_path / "root"),
        "passphrase": lambda: PassphraseProvider(WORDS),
        "token": lambda: TokenProvider(token),
    }
    made = Place(tmp_path, providers[request.param])
    create_keystore(made.file, uuid4(), made.provider())
    return made


def secrets_of(store: Keystore) -> dict[str, bytes]:
    return {name: store.secret(name) for name in store.names}


def test_every_entry_opens_again_and_all_differ(place: Place) -> None:
    secrets = secrets_of(place.opened())
    assert secrets == secrets_of(place.opened())
    assert secrets.keys() == {"tag/1", *KEPT_TAG_ENTRIES, *OTHER_ENTRIES}
    assert len(set(secrets.values())) == len(secrets)
    assert {len(secret) for secret in secrets.values()} == {32}


def test_its_files_are_private_and_hold_no_secret(place: Place) -> None:
    store = place.opened()
    text = place.file.read_text()
    for file in place.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(secret.hex() in text for secret in secrets_of(store).values())


def test_another_process_sees_what_was_added(place: Place) -> None:
    one, other = place.opened(), place.opened()
    one.add([KEK])
    assert other.secret(KEK) == one.secret(KEK)
    before = one.secret(KEK)
    other.add([KEK, "kek/open/1/1"])
    assert place.opened().secret(KEK) == before


def test_an_entry_moved_to_another_name_does_not_open(place: Place) -> None:
    document = place.document()
    entries = dict(document["entries"])  # type: ignore[call-overload]
    entries["search"], entries["content"] = entries["content"], entries["search"]
    place.file.write_text(json.dumps({**document, "entries": entries}))
    with pytest.raises(RootUnavailableError):
        place.opened().secret("search")


def test_an_entry_of_another_installation_does_not_open(place: Place) -> None:
    place.file.write_text(json.dumps({**place.document(), "installation": uuid4().hex}))
    with pytest.raises(RootUnavailableError):
        place.opened().secret("search")


def test_a_missing_entry_is_named(place: Place) -> None:
    with pytest.raises(EntryMissingError, match="kek/2030Q1/0/1"):
        place.opened().secret("kek/2030Q1/0/1")


def test_nothing_is_made_twice(place: Place) -> None:
    with pytest.raises(RootUnavailableError):
        create_keystore(place.file, uuid4(), place.provider())


def test_a_rotation_keeps_what_stays_and_ends_what_goes(place: Place) -> None:
    store = place.opened()
    store.add([KEK, "kek/open/1/1"])
    before = secrets_of(store)
    wrapped = dict(place.document()["entries"])  # type: ignore[call-overload]
    rotation = store.rotate([KEK])
    assert (rotation.generation, rotation.kept) == (2, len(before) - 1)
    assert rotation.destroyed == (KEK,)
    after = secrets_of(place.opened())
    assert after == {name: secret for name, secret in before.items() if name != KEK}
    again = dict(place.document()["entries"])  # type: ignore[call-overload]
    assert all(again[name] != wrapped[name] for name in again)
    assert not store.is_ending
    with pytest.raises(EntryMissingError):
        store.secret(KEK)


def test_a_destroyed_root_fails_for_ever(place: Place) -> None:
    """Whoever kept the keystore of before finds nothing at the provider that opens it."""
    old = place.document()
    root = dict(old["root"])  # type: ignore[call-overload]
    place.opened().rotate()
    if place.provider().kind == PassphraseProvider.kind:
        kept = place.file.read_bytes()
        assert root["wrapped"].encode() not in kept
        return
    place.file.write_text(json.dumps(old))
    with pytest.raises(RootUnavailableError):
        place.opened()


def test_a_process_that_was_open_goes_on_after_anothers_rotation(place: Place) -> None:
    other = place.opened()
    before = secrets_of(other)
    place.opened().rotate()
    place.opened().add([KEK])
    assert other.secret(KEK) == place.opened().secret(KEK)
    assert {name: other.secret(name) for name in before} == before


def test_a_process_that_opened_nothing_yet_does_so_under_the_new_root(place: Place) -> None:
    other = place.opened()
    place.opened().rotate()
    assert secrets_of(other) == secrets_of(place.opened())


def test_neither_root_nor_secrets_are_kept_longer_than_a_minute(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = place.opened()
    other.add([KEK])
    other.secret(KEK)
    place.opened().rotate([KEK])
    assert keystores.CACHE_SECONDS <= 60
    assert other.secret(KEK), "for a minute it may still be there"
    monkeypatch.setattr(keystores, "CACHE_SECONDS", 0.0)
    with pytest.raises(EntryMissingError):
        other.secret(KEK)


STEPS = (
    "rotate:root-created",
    "replace:written",
    "replace:renamed",
    "rotate:keystore-written",
    "rotate:root-destroyed",
    "rotate:settled",
)


PASSINGS = [(step, 1) for step in STEPS] + [("replace:renamed", more) for more in (2, 3, 4)]


@pytest.mark.parametrize(("step", "turn"), PASSINGS)
def test_killed_at_any_step_twice_no_key_is_lost(place: Place, step: str, turn: int) -> None:
    """Files are replaced up to four times in a rotation, by the provider of the root."""
    store = place.opened()
    store.add([KEK, "kek/open/1/1"])
    before = secrets_of(store)
    for _ in range(2):
        with dying_at(step, turn) as death:
            place.opened().rotate([KEK])
        left = secrets_of(place.opened())
        assert left.items() <= before.items()
        assert before.keys() - left.keys() <= {KEK}
        assert death.came == (turn <= place.replacements)
    place.opened().rotate([KEK])
    store = place.opened()
    assert secrets_of(store) == {name: one for name, one in before.items() if name != KEK}
    assert not store.is_ending


def test_a_careless_rotation_loses_every_key(place: Place) -> None:
    """The naive twin: the old root goes before the keystore is under the new one."""
    store = place.opened()
    store._provider.destroy(place.document()["root"])  # type: ignore[arg-type]
    if place.provider().kind == PassphraseProvider.kind:
        broken = {**place.document(), "root": store._provider.create(bytes(16), 2)[1]}
        place.file.write_text(json.dumps(broken))
    with pytest.raises(RootUnavailableError):
        place.opened().secret("search")


def test_no_key_bytes_stand_in_any_error(place: Place) -> None:
    store = place.opened()
    secrets, told = list(secrets_of(store).values()), []
    if place.provider().kind == KeyFileProvider.kind:
        secrets.append(bytes.fromhex((place.folder / "root").read_text().split()[1]))
    place.file.write_text(json.dumps({**place.document(), "installation": uuid4().hex}))
    for attempt in (lambda: place.opened().secret("search"), lambda: store.secret("nothing")):
        with pytest.raises(RootUnavailableError) as failure:
            attempt()
        told.append(everything_told(failure.value))
    for secret in secrets:
        assert not any(shown in text for shown in (secret.hex(), repr(secret)) for text in told)


def everything_told(error: BaseException | None) -> str:
    """Return all that an error and those behind it say, as a traceback would show them."""
    told = ""
    while error is not None:
        told += f"{error!r} {error} {getattr(error, '__notes__', '')}"
        error = error.__cause__ or error.__context__
    return told


def test_a_token_that_hangs_fails_closed_within_three_seconds(
    tmp_path: Path, token: TokenPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_keystore(tmp_path / "store", uuid4(), TokenProvider(token))
    store = Keystore(tmp_path / "store", TokenProvider(token))
    store.add([KEK])
    hanging = Event()
    assert tokens.PATIENCE_SECONDS <= 3
    monkeypatch.setattr(tokens, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(tokens, "_keys", lambda *_: hanging.wait(60))
    began = time.monotonic()
    with pytest.raises(RootUnavailableError, match="does not answer"):
        store.secret(KEK)
    took = time.monotonic() - began
    hanging.set()
    assert 0.4 < took < 20, "the module itself would have taken a minute"


@pytest.mark.parametrize("broken", ["module", "label", "pin"])
def test_a_token_that_cannot_be_opened_says_so_and_no_more(
    tmp_path: Path, token: TokenPlace, broken: str
) -> None:
    create_keystore(tmp_path / "store", uuid4(), TokenProvider(token))
    wrong = replace(token, **{broken: Path("/nowhere.so") if broken == "module" else "a-wrong-one"})
    with pytest.raises(RootUnavailableError) as failure:
        Keystore(tmp_path / "store", TokenProvider(wrong))
    told = everything_told(failure.value)
    assert wrong.pin not in told
    assert str(wrong.module) not in told


def test_a_tokens_root_never_leaves_it(token: TokenPlace) -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    installation = uuid4().bytes
    provider = TokenProvider(token)
    _, described = provider.create(installation, 1)
    with pytest.raises(RootUnavailableError):
        provider.with_key(str(described["label"]), lambda key: key[pkcs11.Attribute.VALUE])
    provider.destroy(described)
    provider.destroy(described)
    with pytest.raises(RootUnavailableError):
        provider.open(installation, described)


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), KeyFileProvider(tmp_path / "root"))
    with pytest.raises(RootUnavailableError):
        create_keystore(tmp_path / "another", uuid4(), KeyFileProvider(tmp_path / "root"))


def test_a_wrong_or_missing_passphrase_opens_nothing(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), PassphraseProvider(WORDS))
    root = tmp_path / "root"
    with pytest.raises(RootUnavailableError, match="passphrase is wrong"):
        open_keystore(tmp_path / "store", RootPlace(key_file=root, passphrase=WORDS + b"!"))
    with pytest.raises(UsageError, match="need a passphrase"):
        open_keystore(tmp_path / "store", RootPlace(key_file=root))
    assert not root.exists()


@pytest.mark.parametrize(
    "content", [b"", b"zz", b"1 " + b"00" * 31, b"1 " + b"00" * 33, b"\xff", b"00" * 32]
)
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    create_keystore(tmp_path / "store", uuid4(), KeyFileProvider(tmp_path / "root"))
    (tmp_path / "root").write_bytes(content)
    with pytest.raises(RootUnavailableError):
        Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root"))


def test_another_key_file_opens_no_entry(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), KeyFileProvider(tmp_path / "root"))
    (tmp_path / "root").write_text("1 " + "00" * 32)
    with pytest.raises(RootUnavailableError):
        Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root")).secret("search")


def test_what_a_key_file_held_is_overwritten_where_it_lay(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), KeyFileProvider(tmp_path / "root"))
    with (tmp_path / "root").open("rb") as old, (tmp_path / "store").open("rb") as entries:
        root, wrapped = old.read(), entries.read()
        Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root")).rotate()
        for file, before in ((old, root), (entries, wrapped)):
            file.seek(0)
            assert len(now := file.read()) == len(before)
            assert now != before
            assert root.split()[1] not in now
    assert root.split()[1] not in (tmp_path / "root").read_bytes()


def test_what_a_killed_replacement_left_beside_a_key_file_is_overwritten(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), KeyFileProvider(tmp_path / "root"))
    with dying_at("replace:written") as death:
        Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root")).rotate()
    assert death.came
    with (tmp_path / "root.new").open("rb") as left:
        secrets = [line.split()[1] for line in left.read().splitlines()]
        assert len(secrets) == 2
        Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root")).rotate()
        left.seek(0)
        assert not [one for one in secrets if one in left.read()]


def test_a_key_file_read_while_it_is_overwritten_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_keystore(tmp_path / "store", uuid4(), KeyFileProvider(tmp_path / "root"))
    whole = (tmp_path / "root").read_bytes()
    (tmp_path / "root").write_bytes(bytes(len(whole)))
    healed: list[float] = []

    def heal(seconds: float) -> None:
        healed.append(seconds)
        (tmp_path / "root").write_bytes(whole)

    monkeypatch.setattr(replacing.time, "sleep", heal)
    assert secrets_of(Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root")))
    assert len(healed) == 1


@pytest.fixture
def tags(tmp_path: Path) -> Tagger:
    return Tagger(
        create_keystore(tmp_path / "store", UUID(int=1), KeyFileProvider(tmp_path / "root"))
    )


@pytest.mark.parametrize("length", [0, 1, 16, 32, 63, 64, 65, 131])
@pytest.mark.parametrize("name", ["sha256", "sm3"])
def test_a_kept_state_makes_the_codes_of_rfc_2104(length: int, name: str) -> None:
    """The library's own HMAC, itself held to RFC 4231 in test_suites, for keys of every length."""
    key = bytes(range(length))
    for message in (b"", b"a", bytes(200)):
        assert Keyed.under(key, name).digest(message) == hmac.digest(key, message, name)
    after = Keyed.under(key, name).after("ab", "c")
    assert after.tag("d") == hmac.digest(key, encode_context([b"ab", b"c", b"d"]), name)[:16]


def test_tags_of_the_gm_suite_are_made_by_sm3_and_of_the_others_by_sha_256(tmp_path: Path) -> None:
    for suite, name in ((AES_256_GCM, "sha256"), (SM4_GCM, "sm3"), (AES_256_GCM_SIV, "sha256")):
        place = tmp_path / suite.name
        provider = KeyFileProvider(tmp_path / f"{suite.name}.key")
        store = create_keystore(place, UUID(int=1), provider, suite)
        found = [one for one in store.names if one.startswith("search")]
        message = encode_context([b"kind", b"value"])
        by_hand = hmac.digest(store.secret(found[0]), message, name)
        assert Tagger(store).searches("kind", 16)("value") == by_hand[:SEARCH_BYTES]
        assert Tagger(store).content_stream().name == f"hmac-{name}"
        assert len(found) == 1


def identity(tags: Tagger, reference: str, namespace: str, value: str) -> bytes:
    return tags.epochs(1).now.references(reference, namespace)(value)


def test_tags_of_the_epoch_before_are_made_while_its_key_is_there(tmp_path: Path) -> None:
    store = create_keystore(tmp_path / "store", UUID(int=1), KeyFileProvider(tmp_path / "root"))
    tags = Tagger(store)
    first = tags.epochs(1)
    assert first.before is None
    store.add([tags.epoch_entry(2)])
    second = tags.epochs(2)
    assert second.before == first.now
    assert second.now.references("no", "")("1") != first.now.references("no", "")("1")
    # Another process destroys the first, while this one's file is not read again for a while.
    Keystore(tmp_path / "store", KeyFileProvider(tmp_path / "root")).rotate([tags.epoch_entry(1)])
    store.reload()
    assert tags.epochs(2).before is None
    with pytest.raises(EntryMissingError):
        tags.epochs(1)


def test_tags_are_cut_to_their_lengths(tags: Tagger) -> None:
    assert len(identity(tags, "resident_id", "", "1")) == TAG_BYTES
    assert len(tags.searches("customers.mobile:equality", 16)("1")) == SEARCH_BYTES


def test_tags_tell_kinds_and_places_apart(tags: Tagger) -> None:
    different = {
        identity(tags, "resident_id", "", "1"),
        identity(tags, "customer_no", "", "1"),
        identity(tags, "customer_no", "legacy", "1"),
        identity(tags, "customer_no", "branch", "1"),
        tags.suppression("customer_no", "legacy", "1"),
        tags.epochs(1).now.records("customers", "service", "legacy")("1"),
        tags.epochs(1).now.records("customers", "service", "legacy")("1", ""),
        tags.keys("customers", "service", "legacy")("1"),
        tags.content(b"1"),
    }
    assert len(different) == 9
    assert identity(tags, "ab", "c", "d") != identity(tags, "a", "bc", "d")


def test_tags_of_another_installation_tell_nothing(tags: Tagger, tmp_path: Path) -> None:
    other = Tagger(
        create_keystore(tmp_path / "other", UUID(int=2), KeyFileProvider(tmp_path / "key"))
    )
    assert identity(tags, "resident_id", "", "1") != identity(other, "resident_id", "", "1")


def test_streamed_and_whole_content_have_hashes_of_one_key(tags: Tagger) -> None:
    one, other = tags.content_stream(), tags.content_stream()
    one.update(b"some")
    one.update(b"thing")
    other.update(b"something")
    assert one.digest() == other.digest()
