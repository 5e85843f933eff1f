"""Content that is recognised by its first bytes and not read: encrypted, binary, or of a format without a reader."""

from typing import Final

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.charset import has_controls

_ENCRYPTED: Final[tuple[tuple[bytes, str], ...]] = (
    (b"Salted__", "OpenSSL"),
    (b"-----BEGIN PGP MESSAGE-----", "OpenPGP"),
    (b"age-encryption.org/v1", "age"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
    (b"$ANSIBLE_VAULT;", "Ansible Vault"),
    (b"LUKS\xba\xbe", "LUKS"),
    (b"\x03\xd9\xa2\x9a", "KeePass"),
    (b"PARE", "Parquet"),
)

_UNSUPPORTED: Final[tuple[tuple[bytes, str], ...]] = (
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"LZIP\x01", "lzip"),
    (b"\x1f\x9d", "compress"),
    (b"\x1f\xa0", "compress"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft compound file"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"{\\rtf", "RTF"),
    (b"FEA1", "Feather 1"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
)

_BINARY: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF87a", "GIF image"),
    (b"GIF89a", "GIF image"),
    (b"II*\x00", "TIFF image"),
    (b"MM\x00*", "TIFF image"),
    (b"8BPS", "Photoshop image"),
    (b"\x00\x00\x01\x00", "icon"),
    (b"RIFF", "RIFF media"),
    (b"OggS", "Ogg media"),
    (b"fLaC", "FLAC audio"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"\x1aE\xdf\xa3", "Matroska video"),
    (b"\x00\x00\x01\xba", "MPEG video"),
    (b"\x7fELF", "ELF executable"),
    (b"MZ\x90\x00", "Windows executable"),
    (b"\xca\xfe\xba\xbe", "Java class or Mach-O"),
    (b"\xfe\xed\xfa\xce", "Mach-O"),
    (b"\xcf\xfa\xed\xfe", "Mach-O"),
    (b"\x00asm", "WebAssembly"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
    (b"OTTO\x00", "font"),
    (b"\x00\x01\x00\x00\x00", "font"),
    (b"\x93NUMPY", "NumPy array"),
    (b"!<arch>\n", "static library"),
)

_REFUSED: Final = tuple(signature for signature, _ in (*_UNSUPPORTED, *_BINARY))
_ENCRYPTIONS: Final = tuple(signature for signature, _ in _ENCRYPTED)
_OPENPGP_NAMES: Final = (".gpg", ".pgp")
_OPENPGP_ENCRYPTED_TAGS: Final = frozenset({1, 3, 9, 18})
_WORD: Final = 6
_ENCRYPTED_PACKAGE: Final = "EncryptedPackage".encode("utf-16-le")


def refuse(head: bytes, name: str) -> None:
    """Raise what the first bytes of an object (64 KiB of it) give away; return if it may be read.

    Raises `ObjectUnreadable(encrypted)` and `ObjectSkipped(unsupported_format | binary)`.
    """
    encryption = _encryption(head, name)
    if encryption:
        raise ObjectUnreadable(FailReason.ENCRYPTED, f"encrypted ({encryption})")
    if not head.startswith(_REFUSED) and head[4:8] != b"ftyp":
        return
    for signature, what in _UNSUPPORTED:
        if has_signature(head, signature):
            raise ObjectSkipped(SkipReason.UNSUPPORTED_FORMAT, what)
    for signature, what in _BINARY:
        if has_signature(head, signature):
            raise ObjectSkipped(SkipReason.BINARY, what)
    if head[4:8] == b"ftyp":
        raise ObjectSkipped(SkipReason.BINARY, "MP4 or HEIF media")


def has_signature(head: bytes, signature: bytes) -> bool:
    """Whether `head` starts with it. One of a few letters (`ORC`, `PARE`, `ID3`) could be a word: then a control
    character must be near."""
    if not head.startswith(signature):
        return False
    return len(signature) > _WORD or not signature.isalnum() or has_controls(head[:64])


def _encryption(head: bytes, name: str) -> str | None:
    if head.startswith(_ENCRYPTIONS):
        for signature, what in _ENCRYPTED:
            if has_signature(head, signature):
                return what
    if head.startswith(b"\xd0\xcf\x11\xe0") and _ENCRYPTED_PACKAGE in head:
        return "Office"
    if name.lower().endswith(_OPENPGP_NAMES) and _openpgp_tag(head) in _OPENPGP_ENCRYPTED_TAGS:
        return "OpenPGP"
    return None


def _openpgp_tag(head: bytes) -> int | None:
    """The type of the first OpenPGP packet (RFC 9580, 4.2), if the first byte can start one."""
    if not head or not head[0] & 0x80:
        return None
    return head[0] & 0x3F if head[0] & 0x40 else (head[0] >> 2) & 0x0F
