"""A person's key file opens with its passphrase and in no other way."""

import os
import stat
from pathlib import Path

import pytest

from custody.errors import UsageError
from custody.keys.person import (
    Cost,
    PersonKeyError,
    create_person_key,
    kid_of,
    open_person_key,
)

CHEAP = Cost(iterations=1, lanes=1, memory_kib=8)
WORDS = "正确的马 battery staple".encode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "lin.key"
    create_person_key(path, WORDS, CHEAP)
    return path


def test_the_right_passphrase_gives_the_same_key_back(tmp_path: Path) -> None:
    made = create_person_key(tmp_path / "key", WORDS, CHEAP)
    opened = open_person_key(tmp_path / "key", WORDS)
    assert opened.public == made.public
    assert opened.kid == made.kid == kid_of(made.public)
    assert opened.private.sign(b"x") == made.private.sign(b"x")


def test_only_the_owner_may_read_the_file(key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_a_key_file_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(UsageError):
        create_person_key(key_file, WORDS, CHEAP)
    assert key_file.read_bytes() == before


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        create_person_key(tmp_path / "link", WORDS, CHEAP)
    assert not (tmp_path / "elsewhere").exists()


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        create_person_key(tmp_path / "key", b"", CHEAP)


@pytest.mark.parametrize("words", [b"", b"wrong", WORDS + b" ", WORDS[:-1]])
def test_a_wrong_passphrase_gives_one_clear_error(key_file: Path, words: bytes) -> None:
    with pytest.raises(PersonKeyError, match="wrong passphrase"):
        open_person_key(key_file, words)


def test_no_byte_of_the_file_can_be_changed(key_file: Path) -> None:
    content = key_file.read_bytes()
    assert len(content) == 128
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        key_file.write_bytes(altered)
        with pytest.raises(PersonKeyError):
            open_person_key(key_file, WORDS)


@pytest.mark.parametrize("size", [0, 1, 79, 127])
def test_a_cut_file_does_not_open(key_file: Path, size: int) -> None:
    os.truncate(key_file, size)
    with pytest.raises(PersonKeyError):
        open_person_key(key_file, WORDS)


def test_a_longer_file_does_not_open(key_file: Path) -> None:
    with key_file.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(PersonKeyError):
        open_person_key(key_file, WORDS)


def test_the_seed_lies_nowhere_in_the_file(tmp_path: Path) -> None:
    key = create_person_key(tmp_path / "key", WORDS, CHEAP)
    assert key.private.private_bytes_raw() not in (tmp_path / "key").read_bytes()
    assert key.private.private_bytes_raw().hex() not in repr(key)


def test_a_missing_file_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_person_key(tmp_path / "none", WORDS)
