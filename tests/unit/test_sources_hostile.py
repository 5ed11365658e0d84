"""Files that are no files, links, and generated rubbish: refused or read, within bounds."""

import os
import random
import time
import tracemalloc
from pathlib import Path

import pytest
from source_values import HEADER, opened, rows_of, table, workbook, write

from custody.errors import CustodyError
from custody.rows import RawRow
from custody.sources import SourceError


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _link(place: Path) -> None:
    write(place.parent, table(), "real.csv")
    place.symlink_to(place.parent / "real.csv")


def _dangling(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere")


@pytest.mark.parametrize("make", [Path.mkdir, _pipe, _link, _dangling, lambda _: None])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_only_a_regular_file_is_opened(tmp_path: Path, kind: str, make: object) -> None:
    place = tmp_path / "张三的身份证.csv"
    make(place)  # type: ignore[operator]
    with pytest.raises(SourceError) as caught:
        opened(place, kind)
    assert "张三" not in str(caught.value) + repr(caught.value.args)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/proc/self/mem", "a\x00b", ""])
def test_devices_and_impossible_names_are_refused(place: str) -> None:
    with pytest.raises(CustodyError):
        rows_of(opened(place))


def _read(place: Path, kind: str, chunk_rows: int = 50) -> list[RawRow] | str:
    """Return the rows, or what the refusal says."""
    try:
        return rows_of(opened(place, kind, chunk_rows=chunk_rows))
    except CustodyError as error:
        return str(error)


def _rubbish(seed: int) -> bytes:
    """Return a sound file that was damaged in a few places."""
    chance = random.Random(seed)
    lines = [f'C{n},"王{n}",1381234{n:04},"路\n{n}号"' for n in range(200)]
    encoding = chance.choice(["utf-8", "gb18030", "utf-16"])
    content = bytearray(table(lines).encode(encoding))
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(content))
        damage = chance.choice([b"\x00", b'"', b"\n", b",", b"\r", b"\xff", os.urandom(3)])
        content[place : place + chance.randint(0, 2)] = damage * chance.choice([1, 1, 1, 500])
    if chance.random() < 0.2:
        del content[chance.randrange(len(content)) :]
    return bytes(content)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_refused_or_read_the_same_in_one_go_and_in_chunks(
    tmp_path: Path, seed: int
) -> None:
    place = write(tmp_path, _rubbish(seed))
    whole = _read(place, "csv", chunk_rows=100_000)
    assert _read(place, "csv", chunk_rows=7) == whole
    assert isinstance(whole, list) or "王" not in whole


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_workbook_is_refused_or_read(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(workbook([["客户号", "姓名"], *([f"C{n}", "王"] for n in range(50))]))
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    found = _read(write(tmp_path, bytes(content)), "xlsx")
    assert isinstance(found, list) or "王" not in found


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("one endless line", b"x" * 60_000_000),
        ("an endless quoted field", b'C1,"' + b"x\n" * 300_000),
        ("nothing but quotes", b'"' * 20_000_000),
        ("a quote on every line", b'"a\n' * 100_000),
        ("a million columns", b"," * 20_000_000),
    ],
)
def test_a_monster_takes_neither_memory_nor_time(tmp_path: Path, name: str, line: bytes) -> None:
    place = write(tmp_path, HEADER.encode() + b"\nC0,a,,\n" + line + b"\nC9,z,,\n")
    tracemalloc.start()
    started = time.monotonic()
    with opened(place, chunk_rows=2000) as reader:
        last = [row for chunk in reader.chunks(reader.chunk_count - 1) for row in chunk.rows][-1]
        assert next(iter(reader.chunks())).rows[0].values["name"] == "a"
    took, peak = time.monotonic() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 10, name
    assert peak < 40_000_000, name
    assert last.values.get("name") == "z"
