"""The keystore opens with its root and nothing else; tags are keyed, bound and cut as they say."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from custody.errors import UsageError
from custody.keys.keystore import FIXED_ENTRIES, Keystore, create_keystore, open_keystore
from custody.keys.root import RootUnavailableError
from custody.keys.tags import SEARCH_BYTES, TAG_BYTES, Tagger

WORDS = b"a passphrase of several words"
Providers = [None, WORDS]


@pytest.fixture(params=Providers, ids=["key file", "passphrase"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], tuple[Path, bytes | None]]:
    """Return a function that makes a keystore under each provider of the root."""

    def made() -> tuple[Path, bytes | None]:
        create_keystore(tmp_path / "store", uuid4(), tmp_path / "root", request.param)
        return tmp_path, request.param

    return made


def reopened(place: Path, words: bytes | None) -> Keystore:
    return open_keystore(place / "store", place / "root", words)


def test_every_entry_opens_again_and_all_differ(
    make: Callable[[], tuple[Path, bytes | None]],
) -> None:
    place, words = make()
    first, again = reopened(place, words), reopened(place, words)
    secrets = {name: first.secret(name) for name in FIXED_ENTRIES}
    assert secrets == {name: again.secret(name) for name in FIXED_ENTRIES}
    assert len(set(secrets.values())) == len(FIXED_ENTRIES)
    assert {len(secret) for secret in secrets.values()} == {32}


def test_its_files_are_private_and_hold_no_secret(
    make: Callable[[], tuple[Path, bytes | None]],
) -> None:
    place, words = make()
    store = reopened(place, words)
    text = (place / "store").read_text()
    for file in place.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(store.secret(name).hex() in text for name in FIXED_ENTRIES)


def test_another_process_sees_what_was_added(
    make: Callable[[], tuple[Path, bytes | None]],
) -> None:
    place, words = make()
    one, other = reopened(place, words), reopened(place, words)
    one.add(["kek/open/0/1"])
    assert other.secret("kek/open/0/1") == one.secret("kek/open/0/1")
    before = one.secret("kek/open/0/1")
    other.add(["kek/open/0/1", "kek/open/1/1"])
    assert reopened(place, words).secret("kek/open/0/1") == before


def test_an_entry_moved_to_another_name_does_not_open(
    make: Callable[[], tuple[Path, bytes | None]],
) -> None:
    place, words = make()
    document = json.loads((place / "store").read_text())
    entries = document["entries"]
    entries["search"], entries["content"] = entries["content"], entries["search"]
    (place / "store").write_text(json.dumps(document))
    with pytest.raises(RootUnavailableError):
        reopened(place, words).secret("search")


def test_an_entry_of_another_installation_does_not_open(
    make: Callable[[], tuple[Path, bytes | None]],
) -> None:
    place, words = make()
    document = json.loads((place / "store").read_text())
    document["installation"] = uuid4().hex
    (place / "store").write_text(json.dumps(document))
    with pytest.raises(RootUnavailableError):
        reopened(place, words).secret("search")


def test_a_missing_entry_is_named(make: Callable[[], tuple[Path, bytes | None]]) -> None:
    with pytest.raises(RootUnavailableError, match="kek/2030Q1/0/1"):
        reopened(*make()).secret("kek/2030Q1/0/1")


def test_nothing_is_made_twice(make: Callable[[], tuple[Path, bytes | None]]) -> None:
    place, words = make()
    with pytest.raises(RootUnavailableError):
        create_keystore(place / "store", uuid4(), place / "root", words)
    if words is None:
        with pytest.raises(RootUnavailableError):
            create_keystore(place / "another", uuid4(), place / "root", None)


def test_a_wrong_or_missing_passphrase_opens_nothing(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), tmp_path / "root", WORDS)
    with pytest.raises(RootUnavailableError, match="passphrase is wrong"):
        reopened(tmp_path, WORDS + b"!")
    with pytest.raises(UsageError, match="need a passphrase"):
        reopened(tmp_path, None)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"00" * 33, b"\xff"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    create_keystore(tmp_path / "store", uuid4(), tmp_path / "root", None)
    (tmp_path / "root").write_bytes(content)
    with pytest.raises(RootUnavailableError):
        reopened(tmp_path, None)


def test_another_key_file_opens_no_entry(tmp_path: Path) -> None:
    create_keystore(tmp_path / "store", uuid4(), tmp_path / "root", None)
    (tmp_path / "root").write_text("00" * 32)
    with pytest.raises(RootUnavailableError):
        reopened(tmp_path, None).secret("search")


@pytest.fixture
def tags(tmp_path: Path) -> Tagger:
    return Tagger(create_keystore(tmp_path / "store", UUID(int=1), tmp_path / "root", None))


def test_tags_are_cut_to_their_lengths(tags: Tagger) -> None:
    assert len(tags.identity("resident_id", "", "1")) == TAG_BYTES
    assert len(tags.search("customers.mobile:equality", "1")) == SEARCH_BYTES


def test_tags_tell_kinds_and_places_apart(tags: Tagger) -> None:
    different = {
        tags.identity("resident_id", "", "1"),
        tags.identity("customer_no", "", "1"),
        tags.identity("customer_no", "legacy", "1"),
        tags.identity("customer_no", "branch", "1"),
        tags.suppression("customer_no", "legacy", "1"),
        tags.record("customers", "service", "legacy", ["1"]),
        tags.record("customers", "service", "legacy", ["1", ""]),
        tags.content(b"1"),
    }
    assert len(different) == 8
    assert tags.identity("ab", "c", "d") != tags.identity("a", "bc", "d")


def test_tags_of_another_installation_tell_nothing(tags: Tagger, tmp_path: Path) -> None:
    other = Tagger(create_keystore(tmp_path / "other", UUID(int=2), tmp_path / "key", None))
    assert tags.identity("resident_id", "", "1") != other.identity("resident_id", "", "1")


def test_streamed_and_whole_content_have_hashes_of_one_key(tags: Tagger) -> None:
    one, other = tags.content_stream(), tags.content_stream()
    one.update(b"some")
    one.update(b"thing")
    other.update(b"something")
    assert one.digest() == other.digest()
