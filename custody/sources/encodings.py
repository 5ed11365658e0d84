"""Which encoding a text file is in: byte order mark, then strict UTF-8, then strict GB18030.

Nothing is guessed from frequencies. The whole file must decode; that the expected header words
appear is checked by the caller. A declared encoding that the bytes contradict is refused, because
wrong characters look like data: a UTF-8 file decodes as GB18030 without an error surprisingly
often.
"""

import codecs
from dataclasses import dataclass
from typing import BinaryIO, Final

from custody.errors import QualityGateError, Reason
from custody.sources.reader import SourceError

UTF8: Final = "utf-8"
GB18030: Final = "gb18030"
_UTF16: Final = "utf-16"
_BLOCK: Final = 1 << 20
_LAST_LATIN: Final = "\u024f"
_LAST_OF_TWO_BYTES: Final = "\u07ff"
_MARKS: Final = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    ("\ufeff".encode(GB18030), GB18030),
)
_DECLARABLE: Final = {
    "utf-8": UTF8,
    "utf8": UTF8,
    "utf-8-sig": UTF8,
    "gb18030": GB18030,
    "gbk": GB18030,
    "cp936": GB18030,
    "gb2312": GB18030,
    "utf-16": _UTF16,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """A codec and how many bytes of mark stand before the text."""

    codec: str
    mark: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Trial:
    """How decoding a whole file went: where it failed, or the greatest character it met.

    Only UTF-8 is searched for it, and no further than to the first block that holds a character
    of more than two bytes: nothing else depends on it.
    """

    failed_at: int | None
    greatest: str = ""


def find_encodings(file: BinaryIO, declared: str | None, name: str) -> tuple[Encoding, ...]:
    """Return the encodings the file may be in, the likeliest first; at most two.

    Two are returned where strict UTF-8 yields nothing but letters beyond Latin that are two bytes
    long, which few short GB18030 texts do by accident: the header words must decide.

    Raises:
        SourceError: The declared encoding is unknown or contradicted by the bytes.
        QualityGateError: The file is in none of the encodings.
    """
    marked = _marked(file)
    wanted = _declared(declared, name)
    if wanted is not None:
        return (_confirmed(file, wanted, marked, name),)
    if marked is not None:
        trial = _try(file, marked)
        return (marked,) if trial.failed_at is None else _undecodable(trial, name)
    return _tried(file, name)


def _marked(file: BinaryIO) -> Encoding | None:
    file.seek(0)
    head = file.read(4)
    found = ((mark, codec) for mark, codec in _MARKS if head.startswith(mark))
    return next((Encoding(codec=codec, mark=len(mark)) for mark, codec in found), None)


def _declared(declared: str | None, name: str) -> str | None:
    if declared is None:
        return None
    codec = _DECLARABLE.get(declared.lower().replace("_", "-"))
    if codec is None:
        raise SourceError("the declared encoding is none of utf-8, gb18030, utf-16", name)
    return codec


def _confirmed(file: BinaryIO, wanted: str, marked: Encoding | None, name: str) -> Encoding:
    if marked is not None and not marked.codec.startswith(wanted):
        raise SourceError(f"declared {wanted}, but its mark says {marked.codec}", name)
    if wanted == _UTF16 and marked is None:
        raise SourceError("declared utf-16, but has no byte order mark", name)
    encoding = marked or Encoding(codec=wanted)
    trial = _try(file, encoding)
    if trial.failed_at is not None:
        raise SourceError(f"declared {wanted}, but byte {trial.failed_at} is not", name)
    if encoding == Encoding(codec=GB18030) and _is_surely_utf8(file):
        raise SourceError("declared gb18030, but the bytes are UTF-8", name)
    return encoding


def _is_surely_utf8(file: BinaryIO) -> bool:
    trial = _try(file, Encoding(codec=UTF8))
    return trial.failed_at is None and trial.greatest > _LAST_OF_TWO_BYTES


def _tried(file: BinaryIO, name: str) -> tuple[Encoding, ...]:
    utf8, gb18030 = Encoding(codec=UTF8), Encoding(codec=GB18030)
    first = _try(file, utf8)
    if first.failed_at is None and not _LAST_LATIN < first.greatest <= _LAST_OF_TWO_BYTES:
        return (utf8,)
    second = _try(file, gb18030)
    if second.failed_at is not None:
        return (utf8,) if first.failed_at is None else _undecodable(second, name)
    return (gb18030,) if first.failed_at is not None else (utf8, gb18030)


def _undecodable(trial: _Trial, name: str) -> tuple[Encoding, ...]:
    reason = Reason(code="undecodable_text", about=f"byte {trial.failed_at}")
    raise QualityGateError(name, (reason,))


def _try(file: BinaryIO, encoding: Encoding) -> _Trial:
    """Decode the whole file strictly, a block at a time."""
    file.seek(encoding.mark)
    decoder = codecs.getincrementaldecoder(encoding.codec)("strict")
    position, greatest, block = encoding.mark, "", b"?"
    while block:
        block = file.read(_BLOCK)
        kept = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return _Trial(failed_at=position - kept + error.start)
        position += len(block)
        searched = encoding.codec == UTF8 and greatest <= _LAST_OF_TWO_BYTES
        if searched and not text.isascii():
            highest = max(text)
            greatest = max(greatest, highest)
    return _Trial(failed_at=None, greatest=greatest)
