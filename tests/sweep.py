"""Searching every byte of every store for marked values, in every form they could have taken.

All marked values share a *core*: eight digits, or two hanzi (one of them outside the basic plane).
So one scan looks for a few dozen byte strings, the forms of the two cores, however many customers
there are. What is compressed is unpacked where its header stands, also inside base64, and searched
again. Base64 is searched for the characters that the core's bytes yield at each of its three
alignments, so that no run need be decoded.
"""

import base64
import gzip
import mmap
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

_DEEPEST = 4
_UNPACKED = 32 * 1024 * 1024
_GZIP = re.compile(rb"\x1f\x8b\x08")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
# base64 of a gzip header, and of the four usual zlib headers
_PACKED_BASE64 = re.compile(rb"(?:H4sI|eAF|eAE|eF4|eF5|eJ[w-z]|eN[o-r])[A-Za-z0-9+/\n\\_-]{16,}=*")
_PACKED_HEX = re.compile(rb"(?:1f8b08|78(?:01|5e|9c|da))[0-9a-f]{24,}", re.IGNORECASE)
# The end of a line of base64, as it is or escaped; the end comes first, for that is quick to find.
_ENDS = (rb"\n", rb"\r\n", rb"\\n", rb"\\\\n")
_BROKEN_LINE = re.compile(
    rb"|".join(end + rb"(?<=[A-Za-z0-9+/]{60}" + end + rb")" for end in _ENDS)
)
_FROM_URLSAFE = bytes.maketrans(b"-_", b"+/")
_LINE_END = re.compile(rb"\r?\n|\\+n")


@dataclass(frozen=True, slots=True)
class Core:
    """What all values of one kind of marker have in common."""

    digits: str
    hanzi: str

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Yield every form of the core with its name."""
        for encoding in ("utf-8", "utf-16-le", "utf-16-be", "gb18030"):
            for core in (self.digits, self.hanzi):
                content = core.encode(encoding)
                yield encoding, content
                yield "hex", content.hex().encode()
                yield "hex", content.hex().upper().encode()
                yield from (("base64", part) for part in _base64_parts(content))
        escaped = "".join(f"\\x{byte:02x}" for byte in self.hanzi.encode())
        yield "repr", escaped.encode()
        yield "octal", "".join(f"\\{byte:03o}" for byte in self.hanzi.encode()).encode()
        percent = "".join(f"%{byte:02x}" for byte in self.hanzi.encode())
        yield "percent", percent.encode()
        yield "percent", percent.upper().encode()

    def escapes(self) -> re.Pattern[bytes]:
        """Return the pattern of the hanzi as JSON or Python escapes, escaped once or more."""
        points = [_surrogates(one) for one in self.hanzi]
        short = r"\\+u".join("".join(point) for point in points).encode()
        long = r"\\+".join(
            f"u{ord(one):04x}" if ord(one) < 0x10000 else f"U{ord(one):08x}" for one in self.hanzi
        ).encode()
        return re.compile(rb"u" + short + rb"|" + long, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hit:
    """Where which core was found, in which form, and what stands around it."""

    core: Core
    place: str
    form: str
    around: str = field(compare=False)


@dataclass
class Sweep:
    """A search for some cores at once, and how much it has looked at."""

    cores: tuple[Core, ...]
    searched: int = 0
    files: int = 0
    hits: set[Hit] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._forms: dict[bytes, tuple[Core, str]] = {}
        for core in self.cores:
            for name, needle in core.forms():
                self._forms.setdefault(needle, (core, name))
        self._escapes = {core: core.escapes() for core in self.cores}

    def found(self, core: Core) -> set[Hit]:
        """Return the hits of one core."""
        return {hit for hit in self.hits if hit.core == core}

    def folder(self, folder: Path, *, label: str = "") -> None:
        """Search every file below a folder, and the names of its files."""
        for path in sorted(folder.rglob("*")):
            self.content(
                str(path.relative_to(folder)).encode(), f"{label}name of {path.parent.name}"
            )
            try:
                self.file(path, label=label)
            except (FileNotFoundError, PermissionError):
                continue

    def new_files(self, folder: Path, since: float, *, apart_from: Path) -> None:
        """Search what was written directly in a shared folder since an instant, or one below it."""
        for path in (*folder.glob("*"), *folder.glob("*/*")):
            try:
                if apart_from in (path, path.parent) or path.lstat().st_mtime < since:
                    continue
                self.file(path)
            except (FileNotFoundError, PermissionError):
                continue

    def file(self, path: Path, *, label: str = "") -> None:
        """Search a regular file; nothing else holds bytes."""
        state = path.lstat()
        if not S_ISREG(state.st_mode) or state.st_size == 0:
            return
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            self.content(content, f"{label}{path}")
        self.files += 1

    def content(self, content: bytes | mmap.mmap, place: str) -> None:
        """Search bytes, and what is packed in them."""
        self.searched += len(content)
        self._look(content, place, 0)

    def _look(self, content: bytes | mmap.mmap, place: str, depth: int) -> None:
        for needle, (core, form) in self._forms.items():
            at = content.find(needle)
            if at >= 0:
                self._hit(core, place, form, content, at)
        for core, escapes in self._escapes.items():
            found = escapes.search(content)
            if found:
                self._hit(core, place, "escapes", content, found.start())
        if depth < _DEEPEST:
            for form, unpacked in _unpacked(content):
                self._look(unpacked, f"{place} > {form}", depth + 1)

    def _hit(self, core: Core, place: str, form: str, content: bytes | mmap.mmap, at: int) -> None:
        around = content[max(0, at - 80) : at + 80]
        self.hits.add(Hit(core, place, form, repr(around)))

    def report(self, core: Core) -> str:
        """Return the hits of one core, one a line."""
        lines = [f"{hit.place} [{hit.form}] {hit.around}" for hit in self.found(core)]
        return "\n".join(sorted(lines)[:40])


def find_forms(core: Core, contents: Iterable[bytes]) -> set[str]:
    """Return the forms in which a core stands in some bytes."""
    sweep = Sweep((core,))
    for content in contents:
        sweep.content(content, "")
    return {hit.form for hit in sweep.hits}


def _surrogates(character: str) -> tuple[str, ...]:
    units = character.encode("utf-16-be")
    pairs = [units[start : start + 2].hex() for start in range(0, len(units), 2)]
    return (pairs[0], *(rf"\\+u{unit}" for unit in pairs[1:]))


def _base64_parts(content: bytes) -> Iterator[bytes]:
    """Yield the characters that ``content`` yields wherever it stands in a base64 run."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content)
        first = -(-before * 8 // 6)
        last = (before + len(content)) * 8 // 6
        yield encoded[first:last]
        urlsafe = encoded[first:last].replace(b"+", b"-").replace(b"/", b"_")
        if urlsafe != encoded[first:last]:
            yield urlsafe


def _unpacked(content: bytes | mmap.mmap) -> Iterator[tuple[str, bytes]]:
    for found in _GZIP.finditer(content):
        yield from _inflated("gzip", content, found.start(), zlib.MAX_WBITS | 16)
    for found in _ZLIB.finditer(content):
        yield from _inflated("zlib", content, found.start(), zlib.MAX_WBITS)
    for found in _PACKED_BASE64.finditer(content):
        yield from _inflated_text(found[0], _from_base64)
    for found in _PACKED_HEX.finditer(content):
        yield from _inflated_text(found[0], _from_hex)
    if _BROKEN_LINE.search(content):
        yield "joined lines", _LINE_END.sub(b"", content[:])


def _from_base64(run: bytes) -> bytes:
    run = _LINE_END.sub(b"", run).replace(b"\\", b"").translate(_FROM_URLSAFE)
    return base64.b64decode(run[: len(run) // 4 * 4])


def _from_hex(run: bytes) -> bytes:
    return bytes.fromhex(run[: len(run) // 2 * 2].decode())


def _inflated_text(run: bytes, decoded: Callable[[bytes], bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield what packed text inflates to; its beginning tells whether it is worth decoding."""
    window = zlib.MAX_WBITS | 32  # either header
    if next(_inflated("", decoded(run[:60].rstrip(b"=")), 0, window, least=1), None):
        yield from _inflated("packed text", decoded(run.rstrip(b"=")), 0, window)


def _inflated(
    form: str, content: bytes | mmap.mmap, start: int, window: int, *, least: int = 8
) -> Iterator[tuple[str, bytes]]:
    """Yield what a stream inflates to, as far as it goes: two bytes of a header prove nothing."""
    inflater = zlib.decompressobj(window)
    unpacked = bytearray()
    try:
        for place in range(start, len(content), 4096):
            unpacked += inflater.decompress(content[place : place + 4096])
            if inflater.eof or len(unpacked) > _UNPACKED:
                break
    except zlib.error:
        pass
    if len(unpacked) > least:
        yield form, bytes(unpacked)


def gzipped(text: str) -> bytes:
    """Return a text as gzip makes it."""
    return gzip.compress(text.encode())
