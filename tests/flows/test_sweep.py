"""The search itself: it finds a marker in every form, and nothing in noise."""

import base64
import gzip
import json
import pickle
import random
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest
from markers import CUSTOMERS
from sweep import Sweep, find_forms

TEXTS = (f"客户{CUSTOMERS.hanzi}先生", f"x{CUSTOMERS.digits}003")
HANZI = TEXTS[0]
FORMS = {
    "utf-8": lambda text: text.encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "gb18030": lambda text: text.encode("gb18030"),
    "hex": lambda text: text.encode().hex().encode(),
    "hex of gb18030": lambda text: text.encode("gb18030").hex().upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, moved by one": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64, moved by two": lambda text: base64.b64encode(b"xx" + text.encode()),
    "base64, safe in URLs": lambda text: base64.urlsafe_b64encode(text.encode() * 2),
    "base64 in lines": lambda text: base64.encodebytes(b"x" * 50 + text.encode() + b"x" * 50),
    "base64 lines in JSON": lambda text: json.dumps(
        base64.encodebytes(b"x" * 50 + text.encode() + b"x" * 50).decode()
    ).encode(),
    "base64 of gb18030": lambda text: base64.b64encode(text.encode("gb18030")),
    "gzip": lambda text: b"noise" + gzip.compress(text.encode() * 3) + b"noise",
    "zlib": lambda text: b"noise" + zlib.compress(text.encode() * 3),
    "zlib, fast": lambda text: zlib.compress(text.encode() * 3, 1),
    "zlib, best": lambda text: zlib.compress(text.encode() * 3, 9),
    "base64 of gzip": lambda text: base64.b64encode(gzip.compress(text.encode() * 3)),
    "base64 of zlib": lambda text: base64.b64encode(zlib.compress(text.encode() * 3)),
    "hex of gzip": lambda text: gzip.compress(text.encode() * 3).hex().encode(),
    "gzip of base64 of gzip": lambda text: gzip.compress(
        base64.b64encode(gzip.compress(text.encode() * 3))
    ),
    "pickle": lambda text: pickle.dumps({"name": text}),
    "oldest pickle": lambda text: pickle.dumps({"name": text}, protocol=0),
    "base64 of pickle": lambda text: base64.b64encode(pickle.dumps(ValueError(text))),
    "JSON": lambda text: json.dumps({"name": text}).encode(),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"name": text})).encode(),
    "ascii()": lambda text: ascii(text).encode(),
    "repr of bytes": lambda text: repr(text.encode()).encode(),
    "percent": lambda text: quote(text).encode(),
    "percent, lower": lambda text: quote(text).lower().encode(),
}


@pytest.mark.parametrize("text", TEXTS, ids=["hanzi", "digits"])
@pytest.mark.parametrize("form", FORMS)
def test_a_marker_is_found_in_every_form(form: str, text: str) -> None:
    assert find_forms(CUSTOMERS, [FORMS[form](text)])


def test_noise_holds_no_marker() -> None:
    chance = random.Random(7)
    noise = chance.randbytes(3_000_000)
    assert find_forms(CUSTOMERS, [noise, base64.b64encode(noise), noise.hex().encode()]) == set()


def test_names_of_files_are_searched_too(tmp_path: Path) -> None:
    (tmp_path / f"{HANZI}.csv").touch()
    sweep = Sweep((CUSTOMERS,))
    sweep.folder(tmp_path)
    assert {hit.form for hit in sweep.hits} == {"utf-8"}
