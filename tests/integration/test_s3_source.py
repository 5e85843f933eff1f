"""What is true of S3 alone: odd keys, faults on the wire, refusals, roles, secrets."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from domain.coverage import FailReason, SkipReason
from domain.errors import (
    ObjectSkipped,
    ObjectUnreadable,
    SourceDenied,
    SourceMisconfigured,
    SourceThrottled,
    SourceUnavailable,
)
from domain.manifest import ObjectInfo
from infrastructure.connectors.backoff import Backoff
from infrastructure.connectors.endpoints import Reach
from infrastructure.connectors.registry import open_source
from infrastructure.connectors.s3 import S3Source
from infrastructure.connectors.s3_connections import Timeouts
from infrastructure.connectors.s3_http import address_of
from infrastructure.connectors.settings import S3Config, S3Credentials
from infrastructure.s3_server import S3Server
from tests.fault_proxy import Answer, Cut, Delay, Drip, FaultProxy, Pass, Stall, http_error
from tests.fixtures_s3 import ANY_ENDPOINT, Bucket

LARGE = 3 * 1024 * 1024
ANYWHERE = Reach(native=True)
SLOW_DOWN = http_error(503, "SlowDown")


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    address = urlsplit(s3_server.endpoint_url)
    with FaultProxy(address.hostname, address.port) as proxy:
        yield proxy


@pytest.fixture
def impatient(bucket: Bucket, proxy: FaultProxy) -> Iterator[S3Source]:
    """A source behind the proxy that waits briefly."""
    config = S3Config(bucket=bucket.name, endpoint_url=f"http://127.0.0.1:{proxy.port}")
    source = S3Source(
        config,
        S3Credentials.model_validate(bucket.credentials),
        reach=ANYWHERE,
        timeouts=Timeouts(connect=1, read=0.3),
        backoff=Backoff(first=0.005, ceiling=0.02),
    )
    with closing(source):
        yield source


@pytest.fixture
def source(bucket: Bucket) -> Iterator[S3Source]:
    with closing(bucket.source()) as source:
        yield source


def listed(source: S3Source) -> list[ObjectInfo]:
    return [entry for page in source.list_pages("") for entry in page]


def content(source: S3Source, entry: ObjectInfo) -> bytes:
    with source.open_object(entry) as stream:
        return b"".join(iter(lambda: stream.read(1024 * 1024), b""))


def failure(source: S3Source, entry: ObjectInfo) -> FailReason:
    with pytest.raises(ObjectUnreadable) as caught:
        content(source, entry)
    return caught.value.reason


def test_keys_that_paths_would_normalise_are_listed_and_read_as_themselves(bucket, source):
    odd = [
        "/lead",
        "//",
        "a//b",
        "a/./b",
        "a/../b",
        "../z",
        "./q",
        "dot/.",
        "dot/..",
        "x",
        "x/",
        "n\nl",
        "a/b",
    ]
    for key in odd:
        bucket.put(key, b"content of " + key.encode())
    entries = listed(source)
    assert [entry.key for entry in entries] == sorted(odd)
    assert {entry.key: content(source, entry) for entry in entries} == {
        key: b"content of " + key.encode() for key in odd
    }


def test_ranges_cut_at_keys_that_paths_would_normalise_give_the_whole_listing_once(bucket, source):
    odd = ["/", "//", "a/", "a//", "a//b", "a/../b", "a/./b", "a\nb", "a\nb/c", "\ufffd/x", "\U0001f600/x", "dot/.."]
    for key in odd:
        bucket.put(key, b"x")
    cuts = ["", *sorted(odd), ""]
    ranges = [[e.key for page in source.list_pages("", *cut) for e in page] for cut in pairwise(cuts)]
    assert ranges == [*([key] for key in sorted(odd)), []]
    assert source.prefixes("") == ["/", "a\nb/", "a/", "dot/", "\ufffd/", "\U0001f600/"]
    assert source.prefixes("a/") == ["a/../", "a/./", "a//"]


def many(bucket: Bucket, *, count: int, name: str = "{:05}") -> list[str]:
    keys = [name.format(number) for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put(key, b"x"), keys))
    return keys


def test_a_range_asks_for_no_page_behind_its_end(bucket, impatient, proxy):
    keys = many(bucket, count=1001)
    for until, pages in [(keys[10], 1), (keys[999], 1), (keys[1000], 2)]:
        proxy.script()
        assert sum(map(len, impatient.list_pages("", until=until))) == keys.index(until) + 1
        assert proxy.exchanges == pages, until
    proxy.script()
    assert list(impatient.list_pages("1", until="0")) == []
    assert list(impatient.list_pages("", after="1", until="1")) == []
    assert proxy.exchanges == 0


@pytest.mark.torture
def test_prefixes_behind_very_many_objects_are_left_out_rather_than_searched_for(bucket, impatient, proxy):
    many(bucket, count=4001)
    bucket.put("z/x", b"x")
    bucket.put("0/x", b"x")
    assert impatient.prefixes("") == ["0/"]
    assert proxy.exchanges == 4
    assert impatient.prefixes("", after="03") == ["z/"]


def test_a_folder_marker_does_not_keep_its_folder_from_being_entered(bucket, source):
    for key in ("data/", "data/a/", "data/a/1", "data/b/", "data/b/1"):
        bucket.put(key, b"")
    assert source.prefixes("") == ["data/a/", "data/b/"]


def listing(*contents: str, kind: str = "Contents") -> Answer:
    """A page of a provider that leaves out what it need not say."""
    rows = "".join(f"<{kind}>{row}</{kind}>" for row in contents)
    body = f"<ListBucketResult>{rows}</ListBucketResult>".encode()
    return Answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_what_a_provider_leaves_out_of_some_entries_moves_to_no_other(impatient, proxy):
    proxy.script(
        listing(
            "<Key>a</Key><Size>1</Size>",
            '<Owner><ID>x</ID></Owner><ETag>"e"</ETag><Size>2</Size><Key>b</Key><StorageClass>GLACIER</StorageClass>',
            "<Key>c</Key><LastModified>2026-01-02T03:04:05Z</LastModified><ETag/><Size>3</Size>",
        )
    )
    assert listed(impatient) == [
        ObjectInfo("a", 1),
        ObjectInfo("b", 2, '"e"', None, "GLACIER"),
        ObjectInfo("c", 3, "", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ]


@pytest.mark.parametrize("row", ["<Key>a</Key>", "<Size>1</Size>", "<Key>a</Key><Size>one</Size>", ""])
def test_an_entry_without_a_key_or_a_size_cannot_be_read(impatient, proxy, row):
    proxy.script(listing("<Key>A</Key><Size>1</Size>", row))
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        listed(impatient)


@pytest.mark.parametrize("rolled_up", [True, False])
def test_prefixes_are_the_same_whether_or_not_a_provider_gives_the_one_it_starts_in(impatient, proxy, rolled_up):
    given = ["<Prefix>a/</Prefix>"] * rolled_up + ["<Prefix>b/</Prefix>", "<Prefix>c/</Prefix>"]
    proxy.script(listing(*given, kind="CommonPrefixes"))
    assert impatient.prefixes("", after="a/5") == ["b/", "c/"]


@pytest.mark.parametrize("size", [100, LARGE])
@pytest.mark.parametrize(
    "fault",
    [SLOW_DOWN, http_error(500, "InternalError"), http_error(429, "TooMany"), Cut(0), Cut(0, reset=True)],
)
def test_a_passing_fault_is_survived(bucket, impatient, proxy, size, fault):
    body = os.urandom(size)
    bucket.put("file", body)
    (entry,) = listed(impatient)
    proxy.script(fault, fault)
    assert content(impatient, entry) == body
    assert proxy.exchanges >= 3


def test_a_cut_body_is_resumed_where_it_was_cut(bucket, impatient, proxy):
    body = os.urandom(LARGE)
    bucket.put("file", body)
    (entry,) = listed(impatient)
    proxy.script(Cut(1_000_000), Cut(500_000, reset=True), Cut(1), Cut(700_000))
    assert content(impatient, entry) == body
    assert proxy.exchanges == 5


def test_a_small_body_that_is_cut_is_never_taken_for_whole(bucket, impatient, proxy):
    bucket.put("file", bytes(50_000))
    (entry,) = listed(impatient)
    proxy.script(*[Cut(20_000)] * 2)
    assert content(impatient, entry) == bytes(50_000)
    proxy.script(*[Cut(200)] * 20)
    assert failure(impatient, entry) is FailReason.NETWORK


def test_an_answer_cut_anywhere_is_never_taken_for_that_of_another_object(bucket, impatient, proxy):
    body, key = os.urandom(123_456), "read//signed"
    bucket.put(key, body)
    (entry,) = listed(impatient)
    for after in range(0, 600, 3):
        proxy.script(Cut(after))
        assert content(impatient, entry) == body
        proxy.script(Cut(after))
        piece = b""
        with impatient.open_object(entry, start=100_000, stop=123_400) as stream:
            while block := stream.read(10_000):
                piece += block
        assert piece == body[100_000:123_400]


def test_an_object_replaced_while_its_body_was_cut_has_changed(bucket, impatient, proxy):
    bucket.put("file", bytes(LARGE))
    (entry,) = listed(impatient)
    proxy.script(Cut(1_000_000))
    with impatient.open_object(entry) as stream:
        stream.read(1000)
        bucket.put("file", b"\1" * LARGE)
        with pytest.raises(ObjectUnreadable) as caught:
            list(iter(lambda: stream.read(1024 * 1024), b""))
    assert caught.value.reason is FailReason.CHANGED_DURING_READ


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_lasting_fault_is_a_network_failure_after_four_attempts(bucket, impatient, proxy, size):
    bucket.put("file", bytes(size))
    (entry,) = listed(impatient)
    proxy.script(*[http_error(500, "InternalError")] * 20)
    assert failure(impatient, entry) is FailReason.NETWORK
    assert 4 <= proxy.exchanges <= 5


def test_a_silent_server_is_a_time_out(bucket, impatient, proxy):
    bucket.put("file", bytes(LARGE))
    (entry,) = listed(impatient)
    proxy.script(*[Stall(1_000_000), Stall(), Stall(), Stall(), Stall()])
    assert failure(impatient, entry) is FailReason.TIMEOUT


def test_a_drip_that_never_trips_the_read_time_out_ends_at_the_deadline(bucket, impatient, proxy, monkeypatch):
    bucket.put("file", bytes(LARGE))
    (entry,) = listed(impatient)
    monkeypatch.setattr("infrastructure.connectors.s3_reading.transfer_deadline", lambda size: 0.5)
    proxy.script(Drip(20_000))
    assert failure(impatient, entry) is FailReason.TIMEOUT
    assert proxy.exchanges == 1


def test_the_readers_own_time_does_not_count_against_the_deadline(bucket):
    now = [0.0]
    config = S3Config.model_validate(bucket.settings)
    keys = S3Credentials.model_validate(bucket.credentials)
    bucket.put("file", bytes(LARGE))
    total = 0
    with closing(S3Source(config, keys, reach=ANYWHERE, clock=lambda: now[0])) as source:
        (entry,) = listed(source)
        with source.open_object(entry) as stream:
            while block := stream.read(256 * 1024):
                total += len(block)
                now[0] += 3600.0
    assert total == LARGE


def test_a_listing_survives_passing_faults_and_loses_nothing(bucket, impatient, proxy):
    for number in range(20):
        bucket.put(f"{number:02}", b"x")
    proxy.script(SLOW_DOWN, Cut(500), Delay(0.01))
    assert len(listed(impatient)) == 20
    assert proxy.exchanges == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (SLOW_DOWN, SourceThrottled),
        (http_error(500, "InternalError"), SourceUnavailable),
        (Cut(0, reset=True), SourceUnavailable),
        (
            Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"),
            SourceUnavailable,
        ),
    ],
)
def test_a_listing_that_keeps_failing_says_so(impatient, proxy, fault, error):
    proxy.script(*[fault] * 20)
    with pytest.raises(error) as caught:
        listed(impatient)
    assert not caught.value.permanent


def test_a_listing_out_of_key_order_is_refused(impatient, proxy):
    proxy.script(listing(*(f"<Key>{key}</Key><Size>1</Size>" for key in ("b", "a"))))
    with pytest.raises(SourceMisconfigured, match="key order"):
        listed(impatient)


def test_a_redirect_names_the_right_region(impatient, proxy):
    head = b"HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    proxy.script(Pass(), Answer(head))
    impatient.check()
    with pytest.raises(SourceMisconfigured, match="eu-west-1"):
        impatient.check()


def test_a_wrong_region_names_the_right_one(bucket):
    settings = {**bucket.settings, "region": "eu-west-1"}
    with (
        closing(open_source("s3", settings, bucket.credentials, ANY_ENDPOINT)) as source,
        pytest.raises(SourceMisconfigured, match="us-east-1"),
    ):
        source.check()


@pytest.mark.parametrize("size", [10, LARGE])
def test_an_object_that_may_not_be_read_is_access_denied_and_its_neighbours_are_read(bucket, source, size):
    bucket.put("denied/file", bytes(size))
    bucket.put("granted/file", b"readable")
    bucket.deny("s3:GetObject", "denied/")
    denied, granted = listed(source)
    assert failure(source, denied) is FailReason.ACCESS_DENIED
    assert content(source, granted) == b"readable"


def test_a_bucket_that_may_not_be_listed_is_denied(bucket, source):
    bucket.deny("s3:ListBucket")
    with pytest.raises(SourceDenied, match="s3:ListBucket"):
        source.check()


@pytest.mark.parametrize("change", [{"secret_access_key": "another"}, {"access_key_id": "AKIAUNKNOWN"}])
def test_a_wrong_key_pair_is_denied(bucket, change):
    with (
        closing(open_source("s3", bucket.settings, {**bucket.credentials, **change}, ANY_ENDPOINT)) as source,
        pytest.raises(SourceDenied, match="key pair"),
    ):
        source.check()


def test_an_archived_object_is_skipped(bucket, source):
    bucket.put("old", b"x", StorageClass="DEEP_ARCHIVE")
    (entry,) = listed(source)
    assert entry.storage_class == "DEEP_ARCHIVE"
    with pytest.raises(ObjectSkipped) as caught:
        content(source, entry)
    assert caught.value.reason is SkipReason.ARCHIVED_STORAGE_CLASS


def test_an_object_under_a_customers_key_is_encrypted(bucket, source):
    bucket.put("sealed", b"x", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)
    (entry,) = listed(source)
    assert failure(source, entry) is FailReason.ENCRYPTED


def test_an_unreachable_endpoint_is_unavailable_and_its_objects_fail_on_the_network(bucket, proxy):
    config = S3Config(bucket=bucket.name, endpoint_url=f"http://127.0.0.1:{proxy.port}")
    keys = S3Credentials.model_validate(bucket.credentials)
    proxy.__exit__()
    with closing(S3Source(config, keys, reach=ANYWHERE, backoff=Backoff(first=0.001))) as source:
        with pytest.raises(SourceUnavailable):
            source.check()
        assert failure(source, ObjectInfo("small", 1, '"x"')) is FailReason.NETWORK
        assert failure(source, ObjectInfo("large", LARGE, '"x"')) is FailReason.NETWORK


def test_requester_pays_is_said_in_every_request(bucket, proxy):
    settings = {**bucket.settings, "endpoint_url": f"http://127.0.0.1:{proxy.port}", "requester_pays": True}
    bucket.put("small", b"x")
    bucket.put("odd//key", b"x")
    with closing(open_source("s3", settings, bucket.credentials, ANY_ENDPOINT)) as source:
        assert [content(source, entry) for entry in listed(source)] == [b"x", b"x"]
    assert len(proxy.asked) == 3
    assert all(b"x-amz-request-payer: requester" in request.lower() for request in proxy.asked)


@pytest.mark.parametrize(
    ("settings", "endpoint"),
    [
        ({"bucket": "plain"}, "https://plain.s3.us-east-1.amazonaws.com"),
        ({"bucket": "plain", "region": "cn-north-1"}, "https://plain.s3.cn-north-1.amazonaws.com.cn"),
        ({"bucket": "with.dot", "region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com"),
        ({"bucket": "plain", "endpoint_url": "http://store:9000/"}, "http://store:9000"),
    ],
)
def test_a_bucket_is_asked_at_its_own_host_where_its_certificate_allows(settings, endpoint):
    _, asked, bucket_in_host = address_of(S3Config.model_validate(settings))
    assert asked == endpoint
    assert bucket_in_host is endpoint.startswith("https://plain")


def test_a_role_that_stops_being_assumable_fails_objects_as_denied(bucket):
    settings = {**bucket.settings, "role_arn": "arn:aws:iam::000000000000:role/there-is-none"}
    with closing(open_source("s3", settings, bucket.credentials, ANY_ENDPOINT)) as source:
        assert failure(source, ObjectInfo("file", 1, '"x"')) is FailReason.ACCESS_DENIED


def test_a_role_is_assumed_with_its_external_id(bucket, s3_server):
    role = assumable_role(s3_server, external_id="agreed-id")
    bucket.put("file", b"x")
    settings = {**bucket.settings, "role_arn": role, "external_id": "agreed-id"}
    with closing(open_source("s3", settings, bucket.credentials, ANY_ENDPOINT)) as source:
        (entry,) = listed(source)
        assert content(source, entry) == b"x"
    with (
        closing(open_source("s3", {**settings, "external_id": "another"}, bucket.credentials, ANY_ENDPOINT)) as source,
        pytest.raises(SourceDenied, match="external_id"),
    ):
        source.check()


def assumable_role(server: S3Server, external_id: str) -> str:
    """A role that may do all in S3, for whoever knows `external_id`."""
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole",'
        f'"Condition":{{"StringEquals":{{"sts:ExternalId":"{external_id}"}}}}}}]}}'
    )
    allow = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    assume = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}'
    with closing(server.client("iam")) as iam:
        role = iam.create_role(RoleName="scanned", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName="scanned", PolicyName="s3", PolicyDocument=allow)
        iam.put_user_policy(UserName="scanledger", PolicyName="assume", PolicyDocument=assume)
    return str(role)


def test_without_a_key_pair_the_process_own_credentials_sign(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.credentials["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.credentials["secret_access_key"])
    bucket.put("file", b"x")
    with closing(open_source("s3", bucket.settings, policy=ANY_ENDPOINT)) as source:
        assert [content(source, entry) for entry in listed(source)] == [b"x"]


def test_without_any_credentials_the_source_is_denied(bucket, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        closing(open_source("s3", bucket.settings, policy=ANY_ENDPOINT)) as source,
        pytest.raises(SourceDenied, match="key pair"),
    ):
        source.check()


def test_secrets_appear_in_no_log_repr_or_error(bucket, impatient, proxy, caplog):
    caplog.set_level(logging.DEBUG)
    bucket.put("file", b"x")
    (entry,) = listed(impatient)
    content(impatient, entry)
    proxy.script(*[SLOW_DOWN] * 8)
    with pytest.raises(SourceThrottled) as caught:
        impatient.check()
    secret = bucket.credentials["secret_access_key"]
    keys = S3Credentials.model_validate(bucket.credentials)
    shown = (caught.value, impatient, vars(impatient), keys, bucket.server)
    said = [*map(repr, shown), caplog.text]
    assert secret not in "\n".join(said)


def test_the_registry_does_not_load_the_sdk_before_a_bucket_is_opened():
    program = (
        "import sys, infrastructure.connectors.registry\n"
        "print(sorted({'boto3', 'botocore', 'obstore'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
