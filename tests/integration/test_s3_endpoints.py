"""A connector reaches the endpoints that the operator allows, and no other server through them."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

from domain.coverage import FailReason
from domain.errors import Invalid, ObjectUnreadable, SourceDenied, SourceMisconfigured, SourceUnavailable
from domain.manifest import ObjectInfo
from infrastructure.connectors.endpoints import Reach, endpoint_allowed, parse_pattern, reach_of
from infrastructure.connectors.registry import SourcePolicy, open_source
from infrastructure.source_tests import SourceTrials
from tests.fault_proxy import Answer, FaultProxy
from tests.fixtures_s3 import Bucket

ROLE = "arn:aws:iam::123456789012:role/scan"
NATIVE = b"user-agent: object_store"


@pytest.fixture
def proxies(bucket: Bucket) -> Iterator[Callable[[], FaultProxy]]:
    """Makes proxies in front of the S3 server, each an endpoint of its own."""
    address = urlsplit(bucket.server.endpoint_url)
    made: list[FaultProxy] = []

    def make() -> FaultProxy:
        made.append(FaultProxy(address.hostname or "", address.port or 0).__enter__())
        return made[-1]

    yield make
    for proxy in made:
        proxy.__exit__()


def at(bucket: Bucket, proxy: FaultProxy, host: str = "127.0.0.1") -> dict[str, object]:
    return {"bucket": bucket.name, "endpoint_url": f"http://{host}:{proxy.port}"}


def allowing(*patterns: str) -> SourcePolicy:
    return SourcePolicy(s3_endpoints=patterns)


def content(source: Any, entry: ObjectInfo) -> bytes:
    with source.open_object(entry) as stream:
        return b"".join(iter(lambda: stream.read(1024 * 1024), b""))


def failure(source: Any, entry: ObjectInfo) -> FailReason:
    with pytest.raises(ObjectUnreadable) as caught:
        content(source, entry)
    return caught.value.reason


def listed(source: Any) -> list[ObjectInfo]:
    return [entry for page in source.list_pages("") for entry in page]


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("*", "https://anything.example"),
        ("*", "http://10.1.2.3:9000"),
        ("*", "http://[fd12::1]"),
        ("*:9000", "http://store:9000"),
        ("store", "http://store:9000"),
        ("Store", "https://STORE"),
        ("store.example.com", "https://store.example.com."),
        ("store:443", "https://store"),
        ("store:80", "http://store/"),
        ("*.example.com", "https://a.b.example.com:8443"),
        ("s3-*.example.com:8443", "https://s3-eu.example.com:8443"),
        ("10.0.0.0/8", "http://10.255.0.1:9000"),
        ("10.0.0.0/8:9000", "http://10.255.0.1:9000"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("10.0.0.1", "http://[::ffff:10.0.0.1]"),
        ("fd12::/16", "https://[fd12:0:0::7]:9000"),
        ("[fd12::/16]:9000", "https://[fd12::7]:9000"),
        ("[fd12::7]", "https://[fd12:0::7]"),
        ("FD12::7", "https://[fd12::7]"),
    ],
)
def test_an_endpoint_that_a_pattern_matches_is_allowed(pattern, url):
    assert endpoint_allowed(url, ["elsewhere.example", pattern])


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("store", "http://store.example.com"),
        ("store", "http://other"),
        ("store:9000", "http://store:9001"),
        ("store:9000", "http://store"),
        ("*.example.com", "https://example.com"),
        ("*.example.com", "https://example.com.evil.test"),
        ("*.example.com", "https://evilexample.com"),
        ("*:9000", "http://10.0.0.1"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("10.0.0.0/8", "http://10.0.0.1.evil.test"),
        ("10.0.0.0/8:9000", "http://10.0.0.1:22"),
        ("fd12::/16", "http://[fd13::1]"),
        ("[fd12::7]:9000", "http://[fd12::7]"),
        ("*a", "http://[fd12::a]"),
        ("*", "http://169.254.169.254"),
        ("*", "http://[::ffff:169.254.169.254]"),
        ("*", "http://[fe80::1]"),
        ("*", "http://[fd00:ec2::254]"),
        ("*", "http://[fd20:ce::254]"),
        ("*", "http://0.0.0.0:9000"),
        ("*", "http://[::]"),
        ("*", "http://224.0.0.1"),
        ("*", "http://[ff02::1]"),
        ("*", "http://2852039166"),
        ("*", "http://0xA9FEA9FE"),
        ("*", "http://127.1"),
        ("*", "http://0251.0376.0251.0376"),
        ("*", "http://169%2e254%2e169%2e254"),
        ("*", "ftp://store"),
        ("*", "http://"),
    ],
)
def test_any_other_endpoint_is_refused(pattern, url):
    assert not endpoint_allowed(url, [pattern])


def test_without_patterns_only_amazons_own_endpoints_are_allowed():
    assert endpoint_allowed(None, [])
    assert not endpoint_allowed("https://s3.eu-west-1.amazonaws.com", [])


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("http://store", "no http://"),
        ("store/path", "no pattern"),
        ("st ore", "no pattern"),
        ("[store]:9000", "no pattern"),
        ("fd12::7::", "no pattern"),
        ("store:", "write 1 to 65535"),
        ("store:0", "write 1 to 65535"),
        ("store:65536", "write 1 to 65535"),
        ("[fd12::7]:x", "write 1 to 65535"),
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("10.0.0.0/33", "no pattern"),
        ("10.*", "write a network"),
        ("10.0.0.256", "write a network"),
        ("169.254.0.0/16", "link-local"),
        ("[fe80::1]:80", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("239.0.0.0/8", "multicast"),
        ("fd00:ec2::254", "metadata"),
    ],
)
def test_a_wrong_pattern_is_told_what_is_wrong(pattern, said):
    with pytest.raises(ValueError, match=re.escape(repr(pattern))) as caught:
        parse_pattern(pattern)
    assert said in str(caught.value)


def trials(*patterns: str) -> SourceTrials:
    return SourceTrials(allowing(*patterns), open_source, lambda connector: {})


def test_a_connector_with_an_endpoint_that_is_not_allowed_is_neither_made_nor_opened():
    settings = {"bucket": "exports", "endpoint_url": "http://store:9000"}
    for patterns in [(), ("store:9001", "*.example.com")]:
        with pytest.raises(Invalid) as caught:
            trials(*patterns).check("s3", settings)
        [fault] = caught.value.faults
        assert fault.field == "config.endpoint_url"
        assert "SCANLEDGER_S3_ENDPOINTS" in fault.message
        assert all(pattern in fault.message for pattern in patterns)
        with pytest.raises(SourceMisconfigured, match="SCANLEDGER_S3_ENDPOINTS"):
            open_source("s3", settings, policy=allowing(*patterns))
    with pytest.raises(SourceMisconfigured, match="SCANLEDGER_S3_ENDPOINTS"):
        open_source("s3", settings)


def test_a_connector_with_an_allowed_endpoint_or_none_is_made_and_opened():
    named = {"bucket": "exports", "endpoint_url": "http://store:9000"}
    assert trials("store").check("s3", named) == (named, None)
    assert trials().check("s3", {"bucket": "exports"}) == ({"bucket": "exports"}, None)
    open_source("s3", named, policy=allowing("store")).close()
    open_source("s3", {"bucket": "exports"}).close()


@pytest.mark.parametrize(
    ("patterns", "url", "native"),
    [
        ([], None, True),
        (["*"], "http://store", True),
        (["*"], "http://10.0.0.1:9000", True),
        (["store"], "http://store:9000", True),
        (["*.example.com", "store.example.com:80"], "http://store.example.com", True),
        (["10.0.0.0/8"], "http://10.0.0.1", True),
        (["10.0.0.1:9000"], "http://10.0.0.1:9000", True),
        (["*.example.com"], "http://store.example.com", False),
        (["*:9000"], "http://store:9000", False),
        (["10.0.0.0/8:9000"], "http://10.0.0.1:9000", False),
    ],
)
def test_a_client_that_cannot_be_watched_is_for_endpoints_the_operator_trusts(patterns, url, native):
    reach = reach_of(url, patterns)
    assert reach is not None
    assert reach.native is native


@pytest.mark.parametrize(("port", "native"), [("", True), (":{port}", False)])
def test_objects_are_read_whether_or_not_the_native_client_may_be_used(bucket, proxies, port, native):
    proxy = proxies()
    bucket.put("file", b"content")
    pattern = "127.0.0.0/8" + port.format(port=proxy.port)
    with closing(open_source("s3", at(bucket, proxy), bucket.credentials, allowing(pattern))) as source:
        (entry,) = listed(source)
        assert content(source, entry) == b"content"
    assert any(NATIVE in request.lower() for request in proxy.asked) is native


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("239.1.1.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("fd00:ec2::254", "metadata"),
    ],
)
def test_no_endpoint_may_turn_out_to_be_at_a_forbidden_address(peer, said):
    assert said in (Reach().refusal(peer) or "")


def test_an_endpoint_allowed_by_its_network_must_turn_out_to_be_in_it():
    reach = reach_of("http://10.0.0.1", ["10.0.0.0/24", "10.0.0.0/8"])
    assert reach is not None
    assert (reach.refusal("10.9.9.9"), reach.refusal("::ffff:10.9.9.9")) == (None, None)
    assert "outside 10.0.0.0/24, 10.0.0.0/8" in (reach.refusal("192.168.0.1") or "")
    by_name = reach_of("http://10.0.0.1", ["10.0.0.0/24", "*"])
    assert by_name is not None
    assert by_name.refusal("192.168.0.1") is None


class AtMetadata(socket.socket):
    """A connection whose other end says that it is the cloud's metadata service."""

    def getpeername(self) -> tuple[str, int]:
        return ("169.254.169.254", 80)


@pytest.fixture
def rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name leads to the metadata service."""

    def connected(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connection = AtMetadata()
        connection.connect(("127.0.0.1", address[1]))
        return connection

    monkeypatch.setattr("urllib3.util.connection.create_connection", connected)


@pytest.mark.usefixtures("rebound")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("role", [{}, {"role_arn": ROLE}])
def test_a_name_that_leads_to_a_forbidden_address_is_refused_before_anything_is_sent(bucket, proxies, role, scheme):
    proxy = proxies()
    settings = {"bucket": bucket.name, "endpoint_url": f"{scheme}://localhost:{proxy.port}", **role}
    with closing(open_source("s3", settings, bucket.credentials, allowing("*ocalhost"))) as source:
        with pytest.raises(SourceMisconfigured, match=r"169\.254\.169\.254, a link-local"):
            source.check()
        assert failure(source, ObjectInfo("small", 1, '"x"')) is FailReason.ACCESS_DENIED
        assert failure(source, ObjectInfo("large", 3_000_000, '"x"')) is FailReason.ACCESS_DENIED
    assert list(proxy.asked) == []


def redirect(target: str) -> Answer:
    return Answer(
        f"HTTP/1.1 307 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "localhost"), ("localhost", "127.0.0.1")])
@pytest.mark.parametrize("size", [7, 3_000_000])
def test_no_redirect_is_followed_to_another_host(bucket, proxies, host, other, size):
    proxy, elsewhere = proxies(), proxies()
    bucket.put("file", bytes(size))
    target = f"http://{other}:{elsewhere.port}/{bucket.name}/file"
    with closing(open_source("s3", at(bucket, proxy, host), bucket.credentials, allowing("*"))) as source:
        (entry,) = listed(source)
        proxy.script(*[redirect(target)] * 20)
        assert failure(source, entry) is FailReason.NETWORK
        with pytest.raises(SourceMisconfigured, match="check region and endpoint_url"):
            source.check()
    assert any(NATIVE in request.lower() for request in proxy.asked) is (size == 7)
    assert list(elsewhere.asked) == []


def test_no_redirect_is_followed_while_assuming_a_role(bucket, proxies):
    proxy, elsewhere = proxies(), proxies()
    proxy.script(*[redirect(f"http://localhost:{elsewhere.port}/")] * 20)
    settings = at(bucket, proxy) | {"role_arn": ROLE}
    with (
        closing(open_source("s3", settings, bucket.credentials, allowing("*"))) as source,
        pytest.raises(SourceUnavailable, match="endpoint_url"),
    ):
        source.check()
    # Its form may come in a packet of its own.
    assert proxy.asked[0].startswith(b"POST / HTTP/1.1\r\n")
    assert list(elsewhere.asked) == []


@pytest.fixture
def forward(proxies: Callable[[], FaultProxy], monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """The HTTP proxy of the environment, which answers every listing itself."""
    proxy = proxies()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    body = b"<ListBucketResult></ListBucketResult>"
    proxy.script(*[Answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)] * 20)
    return proxy


def test_the_address_of_the_environments_proxy_is_not_judged(bucket, forward):
    settings = {"bucket": bucket.name, "endpoint_url": "http://10.0.0.1:9000"}
    with closing(open_source("s3", settings, bucket.credentials, allowing("10.0.0.0/8"))) as source:
        source.check()
    assert forward.asked[0].startswith(f"GET http://10.0.0.1:9000/{bucket.name}?".encode())


def test_no_client_goes_round_the_environments_proxy(bucket, forward, proxies):
    endpoint = proxies()
    with closing(open_source("s3", at(bucket, endpoint), bucket.credentials, allowing("*"))) as source:
        source.check()
        assert failure(source, ObjectInfo("small", 1, '"x"')) is FailReason.CHANGED_DURING_READ
    assert len(forward.asked) == 2
    assert list(endpoint.asked) == []


def test_amazons_own_token_service_is_asked_as_ever(monkeypatch):
    asked: list[tuple[str, type]] = []

    def refuse(session: URLLib3Session, request: Any) -> AWSResponse:
        asked.append((urlsplit(request.url).hostname or "", type(session)))
        raw = BytesIO(b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
        raw.stream = lambda: iter([raw.getvalue()])  # type: ignore[attr-defined]  # botocore reads it so
        return AWSResponse(request.url, 403, {}, raw)

    monkeypatch.setattr(URLLib3Session, "send", refuse)
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "secret"}
    settings = {"bucket": "exports", "region": "eu-west-1", "role_arn": ROLE}
    with closing(open_source("s3", settings, keys)) as source, pytest.raises(SourceDenied, match="role_arn"):
        source.check()
    assert asked == [("sts.eu-west-1.amazonaws.com", URLLib3Session)]
