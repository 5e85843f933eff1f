#!/usr/bin/env python3
"""Verify an export of a Scanledger history: that no event of it was changed, removed, added or put elsewhere.

    python verify.py FILE [--key PUBLIC] [--checkpoints FOLDER]

Needs neither Scanledger nor its database: this file, Python 3.11 or later, and the package `cryptography` are enough.
application/audit_export.py says what an export holds. Exits with 0 verified, 1 cannot read, 2 usage, 10 tampered with.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

VERIFIED, UNREADABLE, USAGE, TAMPERED = 0, 1, 2, 10
FORMAT, BLOCK = 1, 64
ENDINGS = ("scan.cancelled", "scan.completed", "scan.partially-completed", "scan.failed", "scan.data-erased")
"""Only the data of a scan that has ended is erased."""


class Unreadable(Exception):
    """It is no export, or none that this verifier knows."""


class Tampered(Exception):
    """Names the first place that is not as it was sealed, and what is wrong there."""


def expect(holds: bool, where: str, otherwise: str) -> None:
    if not holds:
        raise Tampered(f"{where}: {otherwise}")


@contextmanager
def well_formed(where: str, otherwise: str) -> Iterator[None]:
    """What cannot be taken apart here is not what it should be."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, InvalidSignature, RecursionError) as error:
        raise Tampered(f"{where}: {otherwise}") from error


# Merkle trees: RFC 9162, section 2.1 ----------------------------------------------------------------------------------


def leaf_hash(line: bytes) -> bytes:
    return hashlib.sha256(b"\0" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    middle = 1 << ((len(hashes) - 1).bit_length() - 1)
    return node_hash(root_of(hashes[:middle]), root_of(hashes[middle:]))


def climb(place: int, last: int, node: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots that a proof leads to from a node: of what ends with it, and of the whole (2.1.3.2, 2.1.4.2)."""
    older = newer = node
    for sibling in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        place, last = place >> 1, last >> 1
    return (older, newer) if last == 0 else None


def included(index: int, size: int, node: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    roots = climb(index, size - 1, node, proof)
    return roots is not None and roots[1] == root


def consistent(older: int, older_root: bytes, newer: int, newer_root: bytes, proof: Sequence[bytes]) -> bool:
    if older == newer:
        return not proof and older_root == newer_root
    path = [older_root, *proof] if older & (older - 1) == 0 else list(proof)
    place, last = older - 1, newer - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    return 0 < older < newer and bool(path) and climb(place, last, path[0], path[1:]) == (older_root, newer_root)


# Signed checkpoints: C2SP signed-note and tlog-checkpoint -------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    notes: Sequence[str]
    text: bytes
    signatures: Mapping[tuple[str, bytes], bytes]

    @classmethod
    def read(cls, note: str) -> "Checkpoint":
        """Raises ValueError."""
        text, gap, signed = note.rpartition("\n\n")
        origin, size, root, *notes = text.split("\n")
        signatures: dict[tuple[str, bytes], bytes] = {}
        for line in signed.removesuffix("\n").split("\n"):
            dash, name, encoded = line.split(" ")
            blob = decoded(encoded)
            signatures.setdefault((name if dash == "—" else "", blob[:4]), blob[4:])
        if not gap or not origin or not all(notes) or f"{int(size):d}" != size or not signed.endswith("\n"):
            raise ValueError(note)
        return cls(origin, int(size), decoded(root, 32), notes, f"{text}\n".encode(), signatures)

    def is_signed_by(self, key: bytes) -> bool:
        """Raises InvalidSignature when a signature that names the key is not one of it."""
        signature = self.signatures.get((self.origin, key_id(self.origin, key)))
        if signature is not None:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, self.text)
        return signature is not None


def key_id(name: str, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]


def verifier_key(name: str, key: bytes) -> str:
    return f"{name}+{key_id(name, key).hex()}+{base64.b64encode(bytes([1]) + key).decode()}"


def decoded(text: object, length: int | None = None) -> bytes:
    """Base64 in its one right form. Raises ValueError."""
    value = base64.b64decode(str(text), validate=True)
    if base64.b64encode(value).decode() != text or length not in (None, len(value)):
        raise ValueError(text)
    return value


def public_key(text: str) -> bytes:
    """An Ed25519 key as 32 bytes in base64, or as tools for signed notes have it. Raises ValueError and IndexError."""
    return decoded(text.split("+", 2)[2], 33)[1:] if text.startswith("scanledger/") else decoded(text, 32)


# The file -------------------------------------------------------------------------------------------------------------


class Lines:
    """The lines of a file, counted."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.number = 0

    @property
    def here(self) -> str:
        return f"line {self.number}"

    def next(self) -> bytes:
        line = self._file.readline()
        self.number += 1
        expect(line.endswith(b"\n"), self.here, "the file was cut off here")
        return line[:-1]

    def document(self) -> dict[str, Any]:
        """The next line as an object, written as the service writes it."""
        line = self.next()
        with well_formed(self.here, "it is none of the lines that say what the file holds: lines were added, or lost"):
            found: dict[str, Any] = json.loads(line.decode("utf-8"))
            if json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode() != line:
                raise ValueError(line)
        return found

    def expect_end(self) -> None:
        expect(not self._file.read(1), f"line {self.number + 1}", "there is more behind the end")


@dataclass
class Header:
    """The first line: what the file says it is."""

    tenant: str
    origin: str
    key: bytes
    first: int
    past: int
    scan: str | None = None
    versions: int = 0
    ended: bool = False
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def read(cls, lines: Lines, key: bytes | None) -> "Header":
        """Raises Unreadable for what is no export of this format."""
        try:
            found = lines.document()
            known = (found["scanledger"], found["format"]) == ("audit-export", FORMAT)
        except (Tampered, TypeError, LookupError):
            known = False
        if not known:
            raise Unreadable(f"it is no audit export of format {FORMAT}")
        with well_formed(lines.here, "it does not say what the file is"):
            _, _, tenant, origin, told, scope, first, past = fields(
                found, "scanledger", "format", "tenant", "origin", "key", "scope", "first", "past"
            )
            header = cls(str(tenant), str(origin), public_key(told), whole(first), whole(past))
            header._read_scope(scope)
            expect(told == verifier_key(origin, header.key), lines.here, "its key is not one of this log")
        expect(key in (None, header.key), lines.here, "it names another key than the one given")
        return header

    def _read_scope(self, scope: dict[str, Any]) -> None:
        if "scan" in scope:
            self.scan, versions, self.ended = fields(scope, "scan", "versions", "ended")
            self.versions = whole(versions)
            if not isinstance(self.scan, str):
                raise ValueError(scope)
            return
        since, until = fields(scope, "since", "until")
        self.since = datetime.fromisoformat(since)
        self.until = None if until is None else datetime.fromisoformat(until)


def fields(found: dict[str, Any], *names: str) -> Sequence[Any]:
    """The values of an object that has just these fields. Raises ValueError."""
    if list(found) != list(names):
        raise ValueError(found)
    return list(found.values())


def whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def read_checkpoints(lines: Lines, header: Header) -> tuple[Checkpoint, Checkpoint | None]:
    """The second line: the checkpoint that all is proven by, and the last one before the first event."""
    found = lines.document()
    with well_formed(lines.here, "a checkpoint, or its signature, does not hold"):
        note, before = fields(found, "checkpoint", "earlier")
        checkpoint = signed(lines.here, note, header)
        if before is None:
            return checkpoint, None
        note, hashes = fields(before, "checkpoint", "consistency")
        proof = [decoded(hash_, 32) for hash_ in hashes]
        earlier = signed(lines.here, note, header)
    agree = consistent(earlier.size, earlier.root, checkpoint.size, checkpoint.root, proof)
    expect(agree, lines.here, "the log was not only added to since the earlier checkpoint")
    return checkpoint, earlier


def signed(where: str, note: str, header: Header) -> Checkpoint:
    checkpoint = Checkpoint.read(note)
    ours = checkpoint.origin == header.origin and checkpoint.is_signed_by(header.key)
    expect(ours, where, "a checkpoint is not one of this log, signed by this key")
    return checkpoint


# Its events -----------------------------------------------------------------------------------------------------------


class Events:
    """Takes the events in the order of the file, and checks that none is missing among them."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._position = 0
        self.count = 0
        self.first = self.leaf = -1
        self.kind = ""

    def take(self, here: str, leaf: int, line: bytes) -> None:
        """An event that is in the log as that leaf."""
        with well_formed(here, "it is no event"):
            event = json.loads(line)
            told = event["data"]
            where, position, self.kind = f"{here} ({told['event_id']})", told["position"], told["kind"]
            at = datetime.fromisoformat(event["time"])
        expect(event["source"] == f"/tenants/{self._header.tenant}", where, "it is another tenant's")
        expect(position > self._position, where, "it stands behind an event that came after it")
        if self._header.scan is not None:
            expect(event["subject"] == self._header.scan, where, "it is of another scan")
            expect(told["version"] == self.count + 1, where, f"version {self.count + 1} of the scan is missing")
        else:
            expect(self.count == 0 or leaf == self.leaf + 1, where, f"leaf {self.leaf + 1} of the log is missing")
            self._expect_in_window(where, leaf, at)
        self.first = self.first if self.count else leaf
        self._position, self.leaf, self.count = position, leaf, self.count + 1

    def _expect_in_window(self, where: str, leaf: int, at: datetime) -> None:
        """The leaves at both ends, and those just beyond, show that the window begins and ends where it says."""
        first, past, since, until = self._header.first, self._header.past, self._header.since, self._header.until
        assert since is not None
        if leaf == first - 1:
            expect(at < since, where, "the window should begin earlier: events are missing before its first")
        if leaf == first < past:
            expect(at >= since, where, "it is from before the window")
        if leaf == past - 1 >= first:
            expect(until is None or at < until, where, "it is from behind the window")
        if leaf == past:
            expect(until is not None and at >= until, where, "the window should end later: events are missing")

    def expect_all(self, where: str, size: int) -> None:
        """That was the last event: it must be the one that the header speaks of. `size` is that of the log."""
        header = self._header
        first, past = header.first, header.past
        if header.scan is not None:
            expect(self.count == header.versions, where, f"version {self.count + 1} of the scan is missing")
            expect(header.ended is (self.kind in ENDINGS), where, "the header is wrong on whether the scan ended")
        else:
            first, past = max(0, first - 1), min(past + 1, size)
        told = self.count > 0 and (self.first, self.leaf + 1) == (first, past)
        expect(told, where, f"events are missing: leaves {first} to {past - 1} should be told")


def read_block(here: str, found: dict[str, Any], checkpoint: Checkpoint, after: int) -> tuple[int, dict[int, bytes]]:
    """A block's number and, by leaf, the hashes of the events that follow. The block is in the log."""
    size = checkpoint.size
    with well_formed(here, "it should be a block of the log, or the end: lines were added, lost or moved"):
        number, leaves, proof, told = fields(found, "block", "leaves", "proof", "told")
        span = range(whole(number) * BLOCK, min((number + 1) * BLOCK, size))
        hashes = dict(zip(span, [decoded(hash_, 32) for hash_ in leaves], strict=True))
        path = [decoded(hash_, 32) for hash_ in proof]
        if number <= after or told != sorted(set(told)) or not told or not hashes:
            raise ValueError(found)
        following = {whole(leaf): hashes[leaf] for leaf in told}
    proven = included(number, -(-size // BLOCK), root_of(list(hashes.values())), path, checkpoint.root)
    expect(proven, here, f"block {number}, leaves {span[0]} to {span[-1]}, is not in the log so")
    return number, following


def expect_leaf(here: str, line: bytes, leaf: int, expected: Mapping[int, bytes]) -> None:
    found = leaf_hash(line)
    if found == expected[leaf]:
        return
    try:
        where = f"{here} ({json.loads(line)['data']['event_id']})"
    except (ValueError, TypeError, LookupError, RecursionError):
        where = here
    for other, hash_ in expected.items():
        expect(found != hash_, where, f"leaf {leaf} should be here, and this is leaf {other}: lines were lost or moved")
    expect(False, where, f"it is not the event sealed as leaf {leaf}: it was changed, or lines were added or lost")


def read_events(lines: Lines, events: Events, checkpoint: Checkpoint) -> None:
    """All blocks with their events, and the end."""
    block, blocks = -1, 0
    while "end" not in (found := lines.document()):
        block, expected = read_block(lines.here, found, checkpoint, block)
        blocks += 1
        for leaf in expected:
            line = lines.next()
            expect_leaf(lines.here, line, leaf, expected)
            events.take(lines.here, leaf, line)
    with well_formed(lines.here, f"there are {blocks} blocks and {events.count} events, and not what it says"):
        (end,) = fields(found, "end")
        if [blocks, events.count] != fields(end, "blocks", "events"):
            raise ValueError(found)
    events.expect_all(lines.here, checkpoint.size)
    lines.expect_end()


# Checkpoints outside --------------------------------------------------------------------------------------------------


def outside_checkpoints(folder: Path, header: Header) -> tuple[dict[int, Checkpoint], Sequence[str]]:
    """Those of this log by size, and remarks on others."""
    found: dict[int, Checkpoint] = {}
    remarks: dict[str, None] = {}
    if not folder.is_dir():
        raise Unreadable(f"{folder} is no folder of checkpoints")
    for path in sorted(folder.rglob("*.checkpoint")):
        with well_formed(str(path), "it is no checkpoint as it was signed"):
            checkpoint = Checkpoint.read(path.read_text("utf-8"))
            known = checkpoint.is_signed_by(header.key)
        if checkpoint.origin == header.origin and known:
            found[checkpoint.size] = checkpoint
        elif checkpoint.origin == header.origin:
            remarks["some checkpoints outside are signed by another key, and were passed over"] = None
        elif known and checkpoint.origin.startswith(f"{header.origin}/") and checkpoint.notes:
            remarks[f"the log was begun anew as {checkpoint.origin}: {checkpoint.notes[0]}"] = None
    return found, list(remarks)


def compare(
    outside: Mapping[int, Checkpoint], checkpoint: Checkpoint, earlier: Checkpoint | None, events: Events
) -> str:
    """The checkpoint outside that must cover the file is the one it is proven by."""
    for mine in filter(None, (earlier, checkpoint)):
        other = outside.get(mine.size, mine)
        expect(
            other.root == mine.root, f"checkpoint of {mine.size} events", "outside it is another: the log was rewritten"
        )
    before = max((size for size in outside if size <= events.first), default=0)
    begins = earlier.size if earlier else 0
    expect(begins >= before, "line 2", f"it does not begin with the checkpoint of {before} events, which is outside")
    covering = min((size for size in outside if size > events.leaf), default=None)
    if covering is None:
        reach = max(outside, default=0)
        return (
            f"WARNING: checkpoints outside reach to event {reach} of the log, and the file to event {events.leaf + 1}"
        )
    proven = covering == checkpoint.size
    expect(proven, "line 2", f"it is not proven by the checkpoint of {covering} events, which is outside")
    return f"the checkpoint outside that covers it, of {covering} events, is the one it is proven by"


def verify(file: IO[bytes], key: bytes | None, folder: Path | None) -> Iterator[str]:
    """What was found to hold, sentence by sentence. Raises Unreadable and Tampered."""
    lines = Lines(file)
    header = Header.read(lines, key)
    checkpoint, earlier = read_checkpoints(lines, header)
    events = Events(header)
    read_events(lines, events, checkpoint)
    if header.scan is None:
        yield f"everything from {header.since} until {header.until or 'the checkpoint'}: {events.count} events"
    else:
        state = f"ended as {events.kind}" if header.ended else "is OPEN: what came after is not here"
        yield f"{header.scan}: {events.count} events, versions 1 to {events.count}; the scan {state}"
    yield f"each is in the log {header.origin} of {checkpoint.size} events, and none between them is missing"
    trusted = (
        f"WARNING: the key in the file was TRUSTED ({base64.b64encode(header.key).decode()}): have it from elsewhere"
    )
    yield "the checkpoint is signed by the key given" if key else trusted
    if folder is None:
        yield "not compared with the checkpoints that are kept outside (--checkpoints)"
        return
    outside, remarks = outside_checkpoints(folder, header)
    yield compare(outside, checkpoint, earlier, events)
    yield from remarks


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--key", metavar="PUBLIC", help="the public key, from a place you trust; base64 or verifier key"
    )
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="checkpoints kept outside the database")
    given = parser.parse_args(arguments)
    try:
        key = public_key(given.key) if given.key else None
    except (ValueError, LookupError):
        sys.stderr.write("--key is neither an Ed25519 public key in base64 nor a verifier key\n")
        return USAGE
    try:
        with given.file.open("rb") as file:
            for sentence in verify(file, key, given.checkpoints):
                sys.stdout.write(f"{sentence}\n")
    except (OSError, Unreadable) as error:
        sys.stderr.write(f"CANNOT READ {given.file}: {error}\n")
        return UNREADABLE
    except Tampered as error:
        sys.stderr.write(f"TAMPERED WITH: {error}\n")
        return TAMPERED
    sys.stdout.write("VERIFIED\n")
    return VERIFIED


if __name__ == "__main__":
    sys.exit(main())
