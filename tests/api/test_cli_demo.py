"""What `make demo` puts into its buckets and its folder."""

import hashlib
import importlib
import random
from pathlib import Path
from types import ModuleType

import pytest
from stdnum import iban, luhn

DEMO = Path(__file__).parents[2] / "deploy" / "demo"


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMO))
    return importlib.import_module("objects")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMO))
    return importlib.import_module("planted")


def _digest(places: object) -> str:
    digest = hashlib.sha256()
    for place in places:  # type: ignore[attr-defined]  # the demo is no package, so its types are not known here
        for key, body in place.objects.items():
            digest.update(key.encode() + b"\0" + body)
    return digest.hexdigest()


def test_the_demo_has_thousands_of_objects_of_every_kind_and_they_are_the_same_each_time(objects: ModuleType) -> None:
    places = objects.places()
    keys = [key for place in places for key in place.objects]
    assert len(keys) >= 2_000
    assert sum(place.total_bytes for place in places) >= 100_000_000
    kinds = {key.rpartition(".")[2] for key in keys}
    assert {"csv", "ndjson", "parquet", "txt", "log", "gz", "zst", "png", "env"} <= kinds
    assert max(len(body) for place in places for body in place.objects.values()) >= 20_000_000
    assert any(key.startswith(objects.DENIED_PREFIX) for key in keys)
    assert _digest(objects.places()) == _digest(places)


def test_what_is_planted_is_valid_by_its_checksum(planted: ModuleType) -> None:
    dice = random.Random(1)
    assert all(luhn.is_valid(planted.card(dice)) for _ in range(100))
    assert all(iban.is_valid(planted.iban(dice)) for _ in range(100))


def test_the_demos_own_sources_hold_none_of_what_it_plants(planted: ModuleType) -> None:
    sources = "".join(path.read_text("utf-8") for path in DEMO.glob("*.py"))
    markers = ["-----BEGIN RSA PRIVATE", "ghp_", "xoxb-", "sk_live_", "AIza"]
    made = "".join(make(random.Random(1)) for make in planted.SECRETS.values())
    assert [marker for marker in markers if marker not in made] == []
    assert [marker for marker in markers if marker in sources] == []
