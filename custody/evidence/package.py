"""Writing an evidence package: one zip whose every file is named by a signed manifest.

    manifest.json       canonical JSON: installation, key, scope, and SHA-256 of every other file
    manifest.sig        Ed25519 over "custody/evidence/v1" ‖ 0x00 ‖ manifest.json, 64 bytes
    checkpoint.note     the checkpoint that all proofs lead to, cosigned where there is a witness
    entries.jsonl       the entries shown, a line each: {"entry":"…","place":n}
    tree.json           heads of the subtrees in which no entry is shown: [first, end, hash] each
    parts.jsonl         parts shown of bulk acts, with their openings and paths
    policies/<digest>.json, suites/<digest>.json, certificates/<ref>.json, keys.json, runs.json
    VERIFY.md, verify.py

Times in the zip are fixed, so the same evidence is the same bytes.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.canonical import canonical
from custody.ledger import Entry, entry_bytes
from custody.merkle import Range
from custody.note import Note, VerifierKey

DOMAIN: Final = b"custody/evidence/v1\0"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
_BESIDE: Final = ("VERIFY.md", "verify.py")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a package shows.

    Attributes:
        scope: What was asked for, in words of the command.
        entries: The entries shown, by their places.
        heads: The heads that stand for all others.
        parts: Parts of bulk acts, each as it is written.
        suites: The bodies of the quality suites whose results are among the entries, by digest.
        people: The public keys behind what was signed, by who and key.
    """

    installation: str
    log_key: VerifierKey
    scope: Mapping[str, str]
    checkpoint: Note
    entries: Mapping[int, Entry]
    heads: Mapping[Range, bytes]
    parts: Sequence[Mapping[str, object]] = ()
    policies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    suites: Mapping[str, str] = field(default_factory=dict)
    certificates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    runs: Sequence[Mapping[str, object]] = ()


def write_evidence(path: Path, evidence: Evidence, key: Ed25519PrivateKey) -> str:
    """Write a package that is not there yet, and return the digest of its manifest.

    Raises:
        FileExistsError: There is such a file.
    """
    contents = {name: text.encode() for name, text in _texts(evidence).items()}
    here = files("custody.evidence")
    contents |= {name: (here / name).read_bytes() for name in _BESIDE}
    manifest = canonical(
        {
            "v": 1,
            "installation": evidence.installation,
            "log_key": str(evidence.log_key),
            "scope": dict(evidence.scope),
            "files": {name: hashlib.sha256(one).hexdigest() for name, one in contents.items()},
        }
    )
    contents[MANIFEST] = manifest
    contents[SIGNATURE] = key.sign(DOMAIN + manifest)
    with path.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for name in sorted(contents):
            package.writestr(zipfile.ZipInfo(name, _EPOCH), contents[name], zipfile.ZIP_DEFLATED)
    return hashlib.sha256(manifest).hexdigest()


def _texts(evidence: Evidence) -> dict[str, str]:
    heads = [[first, end, head.hex()] for (first, end), head in sorted(evidence.heads.items())]
    entries = [
        {"entry": entry_bytes(entry).decode(), "place": place}
        for place, entry in sorted(evidence.entries.items())
    ]
    people = {name: dict(key) for name, key in evidence.people.items()}
    found = {
        "checkpoint.note": str(evidence.checkpoint),
        "entries.jsonl": _lines(entries),
        "tree.json": _json({"heads": heads}),
        "parts.jsonl": _lines(evidence.parts),
        "keys.json": _json({"log": str(evidence.log_key), "people": people}),
        "runs.json": _json(list(evidence.runs)),
    }
    found |= {f"policies/{name}.json": _json(dict(one)) for name, one in evidence.policies.items()}
    found |= {f"suites/{name}.json": body for name, body in evidence.suites.items()}
    return found | {
        f"certificates/{name}.json": _json(dict(one)) for name, one in evidence.certificates.items()
    }


def _lines(objects: Sequence[Mapping[str, object]]) -> str:
    return "".join(f"{_json(one)}\n" for one in objects)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
