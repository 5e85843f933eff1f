"""One page of ListObjectsV2."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from lxml import etree

from domain.manifest import ObjectInfo


@dataclass(frozen=True, slots=True)
class Page:
    """`token` asks for the next page; it is empty on the last one."""

    objects: Sequence[ObjectInfo]
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
    objects = [_object(element, space, decode) for element in root.iterfind(f"{space}Contents")]
    truncated = root.findtext(f"{space}IsTruncated") == "true"
    token = root.findtext(f"{space}NextContinuationToken") or ""
    if truncated and not token:
        raise ValueError("a truncated page without a continuation token")
    return Page(objects, token if truncated else "")


def unquoted(text: str) -> str:
    """An URL-encoded key as it is. Raises `ValueError` if it is not UTF-8."""
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def _object(element: Any, space: str, decode: Any) -> ObjectInfo:
    cut = len(space)
    found = {child.tag[cut:]: child.text for child in element.iterchildren(tag=etree.Element)}
    modified = found.get("LastModified")
    return ObjectInfo(
        key=decode(found["Key"] or ""),
        size=int(found["Size"] or ""),
        etag=found.get("ETag") or "",
        last_modified=datetime.fromisoformat(modified) if modified else None,
        storage_class=found.get("StorageClass") or "",
    )
