"""A home is a private folder of its own, and custody never makes another folder private."""

from pathlib import Path

import pytest

from custody.embedded.cluster import fits_socket, published_socket_folder, socket_folder
from custody.embedded.errors import HomeUnusableError
from custody.embedded.home import Home


def test_a_new_home_is_private(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "new")
    assert home.path.stat().st_mode & 0o777 == 0o700


def test_an_empty_folder_becomes_private_and_stays_so(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir(mode=0o755)
    Home.open(folder)
    Home.open(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir(mode=0o755)
    (folder / "letter").touch()
    with pytest.raises(HomeUnusableError):
        Home.open(folder)
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(HomeUnusableError):
        Home.open(tmp_path / "link")


@pytest.mark.parametrize("name", ["x" * 100, "with space", "with,comma", "with:colon", "中文"])
def test_a_path_no_socket_can_have_gets_a_recorded_private_folder(
    name: str, short_tmp: Path
) -> None:
    home = Home.open(short_tmp / name)
    folder = socket_folder(home)
    try:
        assert fits_socket(folder)
        assert not folder.is_relative_to(home.path)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert socket_folder(home) == folder == published_socket_folder(home)
    finally:
        folder.rmdir()


def test_a_recorded_folder_that_somebody_opened_is_not_used_again(short_tmp: Path) -> None:
    home = Home.open(short_tmp / ("x" * 100))
    first = socket_folder(home)
    first.chmod(0o777)
    second = socket_folder(home)
    first.rmdir()
    second.rmdir()
    assert second != first


@pytest.mark.parametrize("below", ["file", "file/home", "/proc/home"])
def test_what_cannot_become_a_folder_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusableError):
        Home.open(tmp_path / below)
