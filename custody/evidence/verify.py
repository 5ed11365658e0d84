"""Verify an evidence package of custody: ``python verify.py PACKAGE.zip --key KEY --witness KEY``.

One file, long because it goes alone: Python 3.9 or later and ``cryptography`` are enough. Exit 0
and a summary where everything holds, 1 and the place where something does not, 2 where it was
called wrongly. The steps, each repeated below:

1. Every file is the one that the signed manifest names, and there is no other.
2. The manifest and the checkpoint are signed by the installation's key. Give the key as you know it
   (``--key``): without it the package is only shown to agree with itself.
3. The entries shown, with the hashes that stand for all others, make the tree of the checkpoint.
4. Parts shown of bulk acts lie under the roots that their entries name.
5. Policies have the digests that entries name; certificates are signed.
6. What people signed was signed by the keys whose ids it names, for this installation; a session's
   key was vouched for by the key of its person.
7. A witness cosigned the checkpoint (``--witness``).
8. Quality suites have the digests that results name, and each verdict follows from its counts.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import zipfile
import zlib
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MANIFEST, SIGNATURE, CHECKPOINT = "manifest.json", "manifest.sig", "checkpoint.note"
MOST_BYTES = 1 << 30
HASH = 32
SIGNED, COSIGNED = 1, 4  # kinds of keys
LINE_PARTS = 3
KID_DIGITS = 32

Json = Any
Files = dict[str, bytes]
Entries = dict[int, tuple[bytes, Json]]


class InvalidError(Exception):
    """Something does not hold; the text says where."""


def main(arguments: list[str]) -> int:
    """Verify a package and return the exit code."""
    parser = argparse.ArgumentParser(prog="verify.py", description=__doc__.partition("\n")[0])
    parser.add_argument("package")
    parser.add_argument("--key", help="the installation's verifier key as you know it")
    parser.add_argument("--witness", help="the witness's verifier key as you know it")
    given = parser.parse_args(arguments)
    try:
        found = verify(given.package, given.key, given.witness)
    except InvalidError as error:
        sys.stdout.write(f"NOT VALID: {error}\n")
        return 1
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        sys.stdout.write("NOT VALID: a file has not the shape it should have\n")
        return 1
    except (OSError, zipfile.BadZipFile) as error:
        sys.stdout.write(f"NOT VALID: the package cannot be read: {error}\n")
        return 1
    for name, value in found.items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0


def verify(path: str, key: str | None = None, witness: str | None = None) -> dict[str, object]:
    """Return what the package proves.

    Raises:
        InvalidError: Something does not hold; the first such place is named.
    """
    files = read_files(path)
    manifest = read_manifest(files)  # 1
    name, public = require_signed(files, manifest, key)  # 2
    size, root, when = read_checkpoint(files, name, public, witness)  # 2, 7
    entries = read_entries(files)
    verify_tree(files, entries, size, root)  # 3
    parts = verify_parts(files, entries)  # 4
    policies, certificates = verify_documents(files, entries, public)  # 5
    results = verify_results(files, entries)  # 8
    signed = verify_tokens(files, entries, manifest["installation"])  # 6
    return {
        "VALID": "yes" if key else "with itself; compare the key below with yours",
        "installation": manifest["installation"],
        "key": f"{manifest['log_key']}",
        "scope": json.dumps(manifest["scope"], ensure_ascii=False, sort_keys=True),
        "entries in the ledger": size,
        "entries shown": len(entries),
        "parts shown": parts,
        "policy versions": policies,
        "certificates": certificates,
        "quality results": results,
        "signatures of people": signed,
        "cosigned": when or "not looked at; give --witness",
    }


def read_files(path: str) -> Files:
    """Return every file of the zip by name; none twice, none of another path."""
    files = {}
    with zipfile.ZipFile(path) as package:
        if sum(one.file_size for one in package.infolist()) > MOST_BYTES:
            raise InvalidError("the package is too large")
        for one in package.infolist():
            if one.filename in files or ".." in one.filename or one.filename.startswith("/"):
                raise InvalidError(f"{one.filename}: not a name of a file here")
            try:
                files[one.filename] = package.read(one)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
                raise InvalidError(f"{one.filename}: {error}") from None
            except NotImplementedError:
                raise InvalidError(f"{one.filename}: packed in an unknown way") from None
    return files


def read_manifest(files: Files) -> Json:
    """Return the manifest, once every file is the one it names."""
    manifest = read_json(files, MANIFEST)
    named = manifest.get("files")
    if not isinstance(named, dict):
        raise InvalidError(f"{MANIFEST}: it names no files")
    for name in sorted(set(files) | set(named)):
        if name in {MANIFEST, SIGNATURE}:
            continue
        if name not in files:
            raise InvalidError(f"{name}: missing")
        if name not in named:
            raise InvalidError(f"{name}: not named by the manifest")
        if hashlib.sha256(files[name]).hexdigest() != named[name]:
            raise InvalidError(f"{name}: not the file that the manifest names")
    return manifest


def require_signed(files: Files, manifest: Json, key: str | None) -> tuple[str, bytes]:
    """Return name and public key of the installation, whose signature the manifest carries."""
    named = str(manifest.get("log_key"))
    if key is not None and key != named:
        raise InvalidError(f"{MANIFEST}: of another key than the one you gave")
    name, kind, public = read_key(named)
    if kind != SIGNED:
        raise InvalidError(f"{MANIFEST}: not the key of a ledger")
    signature = files.get(SIGNATURE, b"")
    check(public, signature, b"custody/evidence/v1\0" + files[MANIFEST], MANIFEST)
    return name, public


def read_checkpoint(
    files: Files, name: str, public: bytes, witness: str | None
) -> tuple[int, bytes, str]:
    """Return size and root that the checkpoint names, and when the witness saw it."""
    whole = text_of(files, CHECKPOINT)
    text, _, lines = whole.rpartition("\n\n")
    text += "\n"
    signatures: dict[str, list[bytes]] = {}
    for line in lines.split("\n"):
        parts = line.split(" ")
        if len(parts) == LINE_PARTS and parts[0] == "\u2014":
            signatures.setdefault(parts[1], []).append(decode(parts[2], CHECKPOINT))
    own = key_id(name, SIGNED, public)
    found = [one[4:] for one in signatures.get(name, []) if one[:4] == own]
    if not found:
        raise InvalidError(f"{CHECKPOINT}: not signed by the installation")
    check(public, found[0], text.encode(), CHECKPOINT)
    origin, size, root = [*text.split("\n"), "", "", ""][:LINE_PARTS]
    if origin != name or not size.isdigit():
        raise InvalidError(f"{CHECKPOINT}: not of this installation")
    when = ""
    if witness is not None:
        seen_by, kind, seen_key = read_key(witness)
        own = key_id(seen_by, kind, seen_key)
        found = [one[4:] for one in signatures.get(seen_by, []) if one[:4] == own]
        if not found or kind != COSIGNED:
            raise InvalidError(f"{CHECKPOINT}: not cosigned by {seen_by}")
        seconds = int.from_bytes(found[0][:8], "big")
        signed = f"cosignature/v1\ntime {seconds}\n{text}".encode()
        check(seen_key, found[0][8:], signed, CHECKPOINT)
        when = f"by {seen_by}, {seconds} seconds after 1970"
    return int(size), decode(root, CHECKPOINT), when


def read_entries(files: Files) -> Entries:
    """Return the entries shown by their places: the bytes that are hashed, and what they say."""
    entries = {}
    for number, line in enumerate(lines_of(text_of(files, "entries.jsonl")), 1):
        where = f"entries.jsonl, line {number}"
        shown = parse(line, where)
        try:
            place, whole = shown["place"], shown["entry"].encode()
        except (KeyError, TypeError, AttributeError):
            raise InvalidError(f"{where}: not an entry") from None
        if not isinstance(place, int) or place in entries:
            raise InvalidError(f"{where}: not a place of its own")
        entries[place] = whole, parse(whole, where)
    return entries


def verify_tree(files: Files, entries: Entries, size: int, root: bytes) -> None:
    """Check that the entries, with the hashes for all others, make the tree of the checkpoint."""
    heads = {
        (first, end): bytes.fromhex(shown)
        for first, end, shown in read_json(files, "tree.json")["heads"]
    }
    proved: set[int] = set()
    found = head_of(0, size, entries, heads, proved) if size else hashlib.sha256(b"").digest()
    for place in sorted(set(entries) - proved):
        raise InvalidError(f"entries.jsonl: place {place} is covered by a hash, not proved")
    if found != root:
        raise InvalidError("entries.jsonl, tree.json: not the tree of the checkpoint")


def head_of(
    first: int,
    end: int,
    entries: Entries,
    heads: dict[tuple[int, int], bytes],
    proved: set[int],
) -> bytes:
    """Return the head of the tree over a range of places, and note which entries made it."""
    if (first, end) in heads:
        return heads[first, end]
    if end - first == 1:
        if first not in entries:
            raise InvalidError(f"tree.json: nothing stands for place {first}")
        proved.add(first)
        return leaf(entries[first][0])
    middle = first + (1 << ((end - first - 1).bit_length() - 1))
    left = head_of(first, middle, entries, heads, proved)
    return node(left, head_of(middle, end, entries, heads, proved))


def verify_parts(files: Files, entries: Entries) -> int:
    """Check each part against the entry whose act it is of; return how many there are."""
    count = 0
    for number, line in enumerate(lines_of(text_of(files, "parts.jsonl")), 1):
        where = f"parts.jsonl, line {number}"
        part = parse(line, where)
        try:
            said = entries[part["place"]][1]["body"]["facts"]["parts"]
            opening, path = bytes.fromhex(part["opening"]), map(bytes.fromhex, part["path"])
            shown = '{{"record":"{}","version":{}}}'.format(part["record"], part["version"])
            index, last, found = part["index"], said["count"] - 1, leaf(opening + shown.encode())
            root = bytes.fromhex(said["root"])
        except (KeyError, TypeError, ValueError):
            raise InvalidError(f"{where}: not a part of an entry shown") from None
        if climbed(found, index, last, list(path), where) != root:
            raise InvalidError(f"{where}: not a part of the act it names")
        count += 1
    return count


def climbed(found: bytes, index: int, last: int, path: list[bytes], where: str) -> bytes:
    """Return the root that a proof leads to (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index <= last:
        raise InvalidError(f"{where}: no such place among the parts")
    for sibling in path:
        if last == 0:
            raise InvalidError(f"{where}: its proof is too long")
        if index & 1 or index == last:
            found = node(sibling, found)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            found = node(found, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise InvalidError(f"{where}: its proof is too short")
    return found


def verify_documents(files: Files, entries: Entries, public: bytes) -> tuple[int, int]:
    """Check policies against the entries that name them, and certificates' signatures."""
    policies = {}
    for name in files:
        if name.startswith("policies/"):
            documents = read_json(files, name)
            digest = hashlib.sha256(canonical(documents)).hexdigest()
            if name != f"policies/{digest}.json":
                raise InvalidError(f"{name}: not the policy of that digest")
            policies[digest] = name
    for place, (_, said) in entries.items():
        if said["body"]["policy"] not in policies:
            raise InvalidError(f"policies: that of the entry at place {place} is missing")
    certificates = 0
    for name in files:
        if name.startswith("certificates/"):
            document = read_json(files, name)
            signed = b"custody/certificate/v1\0" + document["body"].encode()
            check(public, bytes.fromhex(document["signature"]), signed, name)
            certificates += 1
    return len(policies), certificates


def verify_results(files: Files, entries: Entries) -> int:
    """Judge every quality result again by its suite and its counts; return how many there are."""
    suites = {}
    for name in files:
        if name.startswith("suites/"):
            body = files[name]
            digest = hashlib.sha256(b"custody/quality-suite/v1\0" + body).hexdigest()
            if name != f"suites/{digest}.json":
                raise InvalidError(f"{name}: not the suite of that digest")
            suites[digest] = read_json(files, name)
    count = 0
    for place, (_, said) in entries.items():
        if said["event"].startswith("quality:"):
            facts, where = said["body"]["facts"], f"entries.jsonl, place {place}: quality"
            if facts.get("suite") not in suites:
                raise InvalidError(f"{where}: its suite is missing")
            try:
                require_result(facts, suites[facts["suite"]]["checks"], where)
            except (KeyError, TypeError):
                raise InvalidError(f"{where}: not a result") from None
            count += 1
    return count


def require_result(facts: Json, checks: list[Json], where: str) -> None:
    """Check that a result follows from the counts of its checks."""
    named = {name: value for name, value in facts.items() if name != "digest"}
    digest = hashlib.sha256(b"custody/quality-result/v1\0" + canonical(named)).hexdigest()
    if not len(checks) == len(facts["checked"]) == len(facts["failed"]):
        raise InvalidError(f"{where}: not the counts of its suite")
    worst, codes = "passed", set()
    for index, check in enumerate(checks):
        checked, failed = facts["checked"][index], facts["failed"][index]
        too_many = failed * 1000 > check["tolerated_permille"] * facts["rows"]
        if checked < 0 or failed < 0:
            raise InvalidError(f"{where}: not the counts of its suite")
        if failed:
            codes.add(check["code"])
        if failed and too_many and check["severity"] == "blocking":
            worst = "failed"
        elif failed and worst == "passed":
            worst = "warned"
    if (worst, sorted(codes), digest) != (facts["verdict"], facts["codes"], facts["digest"]):
        raise InvalidError(f"{where}: its verdict does not follow from its counts")


def verify_tokens(files: Files, entries: Entries, installation: str) -> int:
    """Check every signed statement by the key it names; return how many there are."""
    keys = read_json(files, "keys.json")["people"]
    count = 0
    for place, (_, said) in entries.items():
        token = said["body"]["facts"].get("token", "")
        if token:
            where = f"entries.jsonl, place {place}: what was signed"
            require_statement(token, keys, installation, where)
            count += 1
    return count


def require_statement(token: str, keys: Json, installation: str, where: str) -> Json:
    """Return what was signed, once it was signed by the key it names, for this installation."""
    payload, _, signature = token.partition(".")
    text = unpadded(payload, where)
    statement = parse(text, where)
    known = keys.get(f"{statement['sub']} {statement['kid']}")
    if known is None:
        raise InvalidError(f"{where}: its key is missing")
    if statement["aud"] != installation:
        raise InvalidError(f"{where}: for another installation")
    public = bytes.fromhex(known["public"])
    if known.get("session"):
        vouched = require_statement(known["session"], keys, installation, where)
        mine = (vouched["typ"], vouched["sub"], unpadded(vouched["key"], where))
        if mine != ("session", statement["sub"], public):
            raise InvalidError(f"{where}: nobody vouched for the key of the session")
    elif hashlib.sha256(b"custody/kid/v1\0" + public).hexdigest()[:KID_DIGITS] != statement["kid"]:
        raise InvalidError(f"{where}: not the key of that id")
    domain = f"custody/{statement['typ']}/v1".encode() + b"\0"
    check(public, unpadded(signature, where), domain + text, where)
    return statement


def read_key(shown: str) -> tuple[str, int, bytes]:
    """Return name, kind and public key of a verifier key."""
    name, _, rest = shown.partition("+")
    digits, _, encoded = rest.partition("+")
    whole = decode(encoded, "key")
    if len(whole) != 1 + HASH or key_id(name, whole[0], whole[1:]).hex() != digits:
        raise InvalidError("not a verifier key")
    return name, whole[0], whole[1:]


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return the four bytes by which a signature line names its key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def check(public: bytes, signature: bytes, signed: bytes, where: str) -> None:
    """Check an Ed25519 signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except (InvalidSignature, ValueError):
        raise InvalidError(f"{where}: the signature does not verify") from None


def leaf(whole: bytes) -> bytes:
    """Return the hash of a leaf (RFC 6962)."""
    return hashlib.sha256(b"\x00" + whole).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node (RFC 6962)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def canonical(value: object) -> bytes:
    """Return canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def read_json(files: Files, name: str) -> Json:
    """Return the JSON object that a file holds."""
    found = parse(text_of(files, name), name)
    if not isinstance(found, dict):
        raise InvalidError(f"{name}: not a JSON object")
    return found


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; only a newline ends one."""
    return [line for line in text.split("\n") if line]


def parse(text: str | bytes, where: str) -> Json:
    """Return the value of a JSON text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidError(f"{where}: not JSON") from None


def text_of(files: Files, name: str) -> str:
    """Return a file's text."""
    try:
        return files[name].decode()
    except KeyError:
        raise InvalidError(f"{name}: missing") from None
    except UnicodeDecodeError:
        raise InvalidError(f"{name}: not UTF-8") from None


def decode(encoded: str, where: str) -> bytes:
    """Return the bytes of base64."""
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        raise InvalidError(f"{where}: not base64") from None


def unpadded(encoded: str, where: str) -> bytes:
    """Return the bytes of base64url without padding."""
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        raise InvalidError(f"{where}: not base64") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
