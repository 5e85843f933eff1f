"""One page of ListObjectsV2."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from lxml import etree

from domain.manifest import ObjectInfo


@dataclass(frozen=True, slots=True)
class Page:
    """`prefixes` are there where a delimiter was asked with. `token` asks for the next page; empty on the last one."""

    objects: Sequence[ObjectInfo]
    prefixes: Sequence[str]
    token: str


def parse_page(body: bytes) -> Page:
    """The page in `body`, asked for with `encoding-type=url`. Raises `ValueError` if it is no such page."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise ValueError("not XML") from None
    if not isinstance(root.tag, str) or not root.tag.endswith("ListBucketResult"):
        raise ValueError("not a bucket listing")
    space = root.tag[: -len("ListBucketResult")]
    decode = unquoted if root.findtext(f"{space}EncodingType") == "url" else str
    truncated = root.findtext(f"{space}IsTruncated") == "true"
    token = root.findtext(f"{space}NextContinuationToken") or ""
    if truncated and not token:
        raise ValueError("a truncated page without a continuation token")
    prefixes = [decode(found.findtext(f"{space}Prefix", "")) for found in root.iterfind(f"{space}CommonPrefixes")]
    return Page(_objects(root, space, decode), prefixes, token if truncated else "")


def unquoted(text: str) -> str:
    """An URL-encoded key as it is. Raises `ValueError` if it is not UTF-8."""
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def _objects(root: Any, space: str, decode: Callable[[str], str]) -> list[ObjectInfo]:
    entries = list(root.iterchildren(f"{space}Contents"))
    keys, sizes, etags, moments, classes = (
        _texts(root, entries, space + name) for name in ("Key", "Size", "ETag", "LastModified", "StorageClass")
    )
    if "" in keys:
        raise ValueError("an object without a key")
    return list(map(ObjectInfo, map(decode, keys), map(int, sizes), etags, map(_moment, moments), classes))


def _texts(root: Any, entries: Sequence[Any], tag: str) -> list[str]:
    """The text of each entry's element `tag`, empty where it has none."""
    texts = [found.text or "" for found in root.iter(tag)]
    if len(texts) != len(entries):  # one search for all takes a tenth of the time, but some have none
        return [entry.findtext(tag, "") for entry in entries]
    return texts


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
