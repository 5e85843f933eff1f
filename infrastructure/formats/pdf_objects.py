"""What a PDF holds besides the text of its pages: annotations, form fields, bookmarks, packets of XML, pictures."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_TEXTS: Final = ("/Contents", "/V", "/DV", "/T", "/TU", "/RC", "/Subj")
_ACTIONS: Final = ("/URI", "/JS", "/F")
_MOST_NOTES: Final = 10_000
_DEEPEST: Final = 32

Attachment = tuple[str, Callable[[], bytes]]


def notes_of(page: "PageObject") -> tuple[list[str], list[Attachment]]:
    """What the annotations and form fields of a page say, and the files that are pinned to it."""
    texts: list[str] = []
    files: list[Attachment] = []
    for note in _array(page.get("/Annots"))[:_MOST_NOTES]:
        note = _resolved(note)  # noqa: PLW2901 — a reference and what it leads to
        for part in _with_parents(note):
            texts += [text for key in _TEXTS if (text := _text(part.get(key)))]
        action = _dictionary(_dictionary(note).get("/A"))
        texts += [text for key in _ACTIONS if (text := _text(action.get(key)))]
        files += _files(_dictionary(_dictionary(note).get("/FS")))
    return list(dict.fromkeys(texts)), files


def bookmarks(reader: "PdfReader") -> list[str]:
    """The titles of the outline."""
    titles: list[str] = []
    pending: list[Any] = [reader.outline]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += reversed(item)
        else:
            titles.append(str(item.title))
    return titles


def packets(reader: "PdfReader") -> Iterator[Attachment]:
    """The XML in a document: its metadata, and a form that is described by it."""
    root = reader.root_object
    metadata = _resolved(root.get("/Metadata"))
    if hasattr(metadata, "get_data"):
        yield "metadata.xml", metadata.get_data
    form = _resolved(_dictionary(root.get("/AcroForm")).get("/XFA"))
    parts = [form] if hasattr(form, "get_data") else [_resolved(part) for part in _array(form)]
    for number, part in enumerate(part for part in parts if hasattr(part, "get_data")):
        yield f"form-{number}.xml", part.get_data


def draws(page: "PageObject", kind: str) -> bool:
    """Whether the page uses an object of this kind, `/Image` or `/Form`."""
    objects = _dictionary(_dictionary(page.get("/Resources")).get("/XObject"))
    return any(_dictionary(drawn).get("/Subtype") == kind for drawn in objects.values())


def _with_parents(note: Any) -> Iterator[Any]:
    """A form field's widget and the fields that it is part of."""
    for _ in range(_DEEPEST):
        note = _dictionary(note)
        if not note:
            return
        yield note
        note = note.get("/Parent")


def _files(specification: Any) -> list[Attachment]:
    embedded = _dictionary(specification.get("/EF"))
    stream = _resolved(embedded.get("/UF") or embedded.get("/F"))
    name = _text(specification.get("/UF") or specification.get("/F")) or "attachment"
    return [(name, stream.get_data)] if hasattr(stream, "get_data") else []


def _resolved(item: Any) -> Any:
    return item.get_object() if hasattr(item, "get_object") else item


def _dictionary(item: Any) -> Any:
    item = _resolved(item)
    return item if isinstance(item, dict) else {}


def _array(item: Any) -> list[Any]:
    item = _resolved(item)
    return item if isinstance(item, list) else []


def _text(item: Any) -> str:
    """Text, or the text of a stream; names and everything else are none."""
    item = _resolved(item)
    if hasattr(item, "get_data"):
        return str(item.get_data().decode("utf-8", "replace"))
    return str(item) if isinstance(item, str) and not item.startswith("/") else ""
