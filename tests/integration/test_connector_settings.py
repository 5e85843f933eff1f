"""Every wrong setting is reported under its own name, and secrets are parted from the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid, SourceMisconfigured
from infrastructure.connectors.backoff import Backoff, transfer_deadline
from infrastructure.connectors.registry import open_source
from infrastructure.connectors.settings import check_config

S3 = {"bucket": "some-bucket"}
PAIR = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "not-to-be-shown"}
ROLE = "arn:aws:iam::123456789012:role/scan"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"bucket": "Upper"}, "bucket"),
        ({"bucket": "ab"}, "bucket"),
        ({"bucket": "a..b"}, "bucket"),
        ({"bucket": "10.0.0.1"}, "bucket"),
        ({"bucket": "a" * 64}, "bucket"),
        ({"bucket": 7}, "bucket"),
        ({"prefixes": "logs/"}, "prefixes"),
        ({"prefixes": [""]}, "prefixes.0"),
        ({"prefixes": ["ok", "é" * 513]}, "prefixes.1"),
        ({"prefixes": ["nul\0"]}, "prefixes.0"),
        ({"prefixes": ["lone\ud800"]}, "prefixes.0"),
        ({"prefixes": ["same", "same"]}, "prefixes"),
        ({"prefixes": [str(n) for n in range(101)]}, "prefixes"),
        ({"region": "Not A Region"}, "region"),
        ({"region": "auto"}, "region"),
        ({"endpoint_url": "s3.example.com"}, "endpoint_url"),
        ({"endpoint_url": "ftp://s3.example.com"}, "endpoint_url"),
        ({"endpoint_url": "https://s3.example.com/path"}, "endpoint_url"),
        ({"endpoint_url": "https://s3.example.com?x=1"}, "endpoint_url"),
        ({"endpoint_url": "https://user:pass@s3.example.com"}, "endpoint_url"),
        ({"endpoint_url": "https://s3.example.com:99999"}, "endpoint_url"),
        ({"endpoint_url": "http://[::1"}, "endpoint_url"),
        ({"endpoint_url": "https://s3.example.com\r\nX: y"}, "endpoint_url"),
        ({"endpoint_url": "http://169.254.169.254"}, "endpoint_url"),
        ({"role_arn": "scan"}, "role_arn"),
        ({"external_id": "x" * 5}, "external_id"),
        ({"role_arn": ROLE, "external_id": "has space"}, "external_id"),
        ({"requester_pays": "yes"}, "requester_pays"),
        ({"access_key_id": "AKIAEXAMPLE"}, "secret_access_key"),
        ({"secret_access_key": "x"}, "access_key_id"),
        ({**PAIR, "access_key_id": "with space"}, "access_key_id"),
        ({**PAIR, "session_token": ""}, "session_token"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_s3_setting_is_named(change, field):
    with pytest.raises(Invalid) as caught:
        check_config("s3", {**S3, **change})
    assert [fault.field for fault in caught.value.faults] == [f"config.{field}"]
    assert "not-to-be-shown" not in str(caught.value)


@pytest.mark.parametrize("root", ["relative/path", "", "/nul\0", "/" + "x" * 4096, 7])
def test_a_wrong_root_is_named(root):
    with pytest.raises(Invalid) as caught:
        check_config("filesystem", {"root": root})
    assert [fault.field for fault in caught.value.faults] == ["config.root"]


def test_all_faults_are_reported_at_once_and_unknown_ones_with_what_is_known():
    with pytest.raises(Invalid) as caught:
        check_config("s3", {"region": 1, "prefixes": [0], "colour": "red", "secret_access_key": 5})
    faults = {fault.field: fault.message for fault in caught.value.faults}
    assert faults.keys() == {
        f"config.{name}" for name in ("bucket", "region", "prefixes.0", "colour", "secret_access_key", "access_key_id")
    }
    assert "requester_pays" in faults["config.colour"]


def test_an_unknown_type_is_told_the_known_ones():
    with pytest.raises(Invalid) as caught:
        check_config("ftp", {})
    assert [(fault.field, fault.message) for fault in caught.value.faults] == [
        ("type", "must be one of: s3, filesystem")
    ]


def test_secrets_are_parted_from_settings():
    checked = check_config("s3", {**S3, **PAIR, "prefixes": ["a/"], "role_arn": ROLE, "external_id": "agreed"})
    assert checked.settings == {**S3, "prefixes": ["a/"], "role_arn": ROLE, "external_id": "agreed"}
    assert checked.credentials == PAIR
    assert "not-to-be-shown" not in repr(checked)


def test_settings_without_secrets_have_none():
    assert check_config("s3", S3).credentials is None
    assert check_config("filesystem", {"root": "/srv"}).settings == {"root": "/srv"}


def test_a_source_cannot_be_opened_with_settings_that_cannot_work():
    with pytest.raises(SourceMisconfigured, match=r"config\.bucket"):
        open_source("s3", {"bucket": "NO"})


@given(failures=st.integers(1, 3), jitter=st.floats(0, 1), throttled=st.booleans())
def test_a_delay_lies_between_nothing_and_its_exponential_ceiling(failures, jitter, throttled):
    delay = Backoff(first=0.25, ceiling=8).delay(failures, jitter, throttled=throttled)
    assert delay is not None
    assert 0 <= delay <= min(8, (1.0 if throttled else 0.25) * 2 ** (failures - 1))


def test_the_fourth_failure_in_a_row_is_the_last():
    assert Backoff().delay(3, 1.0) == 1.0
    assert Backoff().delay(4, 1.0) is None


def test_the_deadline_grows_with_size():
    assert transfer_deadline(0) == 30
    assert transfer_deadline(256 * 1024 * 100) == 130
