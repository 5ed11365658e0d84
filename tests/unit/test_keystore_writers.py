"""Two writers of one keystore, a power cut between its steps, a retired suite, a silent token."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from custody import suites
from custody.keys import replacing
from custody.keys.keystore import Keystore, create_keystore
from custody.keys.replacing import replace_file
from custody.keys.root import (
    KeyFileProvider,
    PassphraseProvider,
    RootProvider,
    RootSilentError,
)
from custody.keys.token import PATIENCE_SECONDS, TokenProvider
from custody.steps import observed_by
from custody.suites import AES_256_GCM, SM4_GCM

INSTALLATION = UUID(int=1)


def test_old_bytes_stand_until_the_new_name_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the power goes before the folder is synced, the name may still mean the old file."""
    path = tmp_path / "keys"
    replace_file(path, b"old")
    old = os.open(path, os.O_RDONLY)

    def no_power(_: Path) -> None:
        raise OSError("no power")

    monkeypatch.setattr(replacing, "sync_folder", no_power)
    with pytest.raises(OSError, match="power"):
        replace_file(path, b"new")
    assert os.pread(old, 10, 0) == b"old"
    assert path.read_bytes() == b"new"
    os.close(old)


def test_old_bytes_are_overwritten_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    replace_file(path, b"old bytes of sixteen")
    old = os.open(path, os.O_RDONLY)
    replace_file(path, b"new")
    assert b"old" not in os.pread(old, 100, 0)
    os.close(old)


@pytest.fixture
def provider(tmp_path: Path) -> KeyFileProvider:
    return KeyFileProvider(tmp_path / "root")


@pytest.fixture
def path(tmp_path: Path, provider: KeyFileProvider) -> Path:
    create_keystore(tmp_path / "store", INSTALLATION, provider)
    return tmp_path / "store"


def test_who_adds_waits_for_a_rotation_that_lost_its_session(
    path: Path, provider: RootProvider
) -> None:
    """Nothing of a database keeps the two apart here, as when the first one's session has ended."""
    rotating, adding = Keystore(path, provider), Keystore(path, provider)
    added = threading.Event()

    def add() -> None:
        adding.add(["kek/2031Q4/0/1"])
        added.set()

    writer = threading.Thread(target=add)

    def at(step: str) -> None:
        if step == "rotate:root-created":
            writer.start()
            assert not added.wait(0.3), "it wrote into a file that is about to be replaced"

    with observed_by(at):
        rotating.rotate()
    writer.join(10)
    assert added.is_set()
    there = Keystore(path, provider)
    assert there.has("kek/2031Q4/0/1")
    assert there.generation == 2
    there.check_every_entry()


def test_an_addition_in_vain_is_noticed_by_the_same_test(
    path: Path, provider: RootProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def not_alone(_: Keystore) -> Iterator[None]:
        yield

    monkeypatch.setattr(Keystore, "_alone", not_alone)
    with pytest.raises(AssertionError, match="about to be replaced"):
        test_who_adds_waits_for_a_rotation_that_lost_its_session(path, provider)


@pytest.mark.parametrize("kind", ["key-file", "passphrase"])
def test_keystores_go_on_when_the_first_suite_is_retired(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def provider_under(suite: suites.Suite) -> RootProvider:
        if kind == "passphrase":
            return PassphraseProvider(b"four words of prose", suite)
        return KeyFileProvider(tmp_path / "root", suite)

    path = tmp_path / "store"
    before = create_keystore(path, INSTALLATION, provider_under(AES_256_GCM))
    secrets = {name: before.secret(name) for name in before.names}
    retired = replace(AES_256_GCM, retired=True)
    monkeypatch.setattr(AES_256_GCM.__class__, "require_in_use", _refusing(retired))
    there = Keystore(path, provider_under(SM4_GCM))
    there.add(["kek/2031Q4/0/1"])
    assert there.suites == {AES_256_GCM.number: len(secrets), SM4_GCM.number: 1}
    there.rotate()
    assert there.suites == {SM4_GCM.number: len(secrets) + 1}
    assert {name: there.secret(name) for name in secrets} == secrets


def _refusing(retired: suites.Suite) -> object:
    def require_in_use(self: suites.Suite) -> suites.Suite:
        if self.number == retired.number:
            raise suites.SuiteRetiredError(self.name)
        return self

    return require_in_use


def test_a_silent_token_is_given_up_after_three_seconds_waiting_included() -> None:
    provider, begun = TokenProvider(None), threading.Event()

    @contextmanager
    def silent() -> Iterator[None]:
        begun.set()
        time.sleep(PATIENCE_SECONDS + 1)
        raise OSError("unplugged")
        yield

    provider._session = silent
    took = list[float]()

    def ask() -> None:
        start = time.monotonic()
        with pytest.raises(RootSilentError):
            provider.with_key("any", lambda key: key)
        took.append(time.monotonic() - start)

    first = threading.Thread(target=ask)
    first.start()
    assert begun.wait(5)
    ask()
    first.join()
    assert len(took) == 2
    assert max(took) < PATIENCE_SECONDS + 0.5
    time.sleep(1.5)  # the silent thread lets others have the token
