"""A webhook leads to https at public addresses and to what the operator allows, and to no other server through them."""

import asyncio
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domain.webhook import Answered
from infrastructure.webhooks.addresses import PublicPeers, Target, target_of, url_fault
from infrastructure.webhooks.http import MOST_ANSWER_BYTES, Patience, WebhookHttp
from infrastructure.webhooks.secrets import new_secret
from tests.webhook_receiver import Receiver, Reply, receiving

SECRET = new_secret()
HERE = ("127.0.0.0/8", "localhost")
BRIEF = Patience(connect=2, read=0.3, total=0.6)


def now() -> datetime:
    return datetime.now(UTC)


def post(
    url: str, allowed: Sequence[str] = HERE, *, body: bytes = b"{}", secrets: Sequence[str] = (SECRET,), **more: Any
) -> Answered:
    async def ask() -> Answered:
        http = WebhookHttp(allowed, now, **more)
        try:
            return await http.post(url, body, "scan-1:1", secrets)
        finally:
            await http.close()

    return asyncio.run(ask())


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers of this test's own."""
    with ExitStack() as closing:
        yield lambda tls=None: closing.enter_context(receiving(tls))


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://hooks.example.com", Target("https", "hooks.example.com", 443, "/")),
        ("https://hooks.example.com.:8443/a/b?c=d", Target("https", "hooks.example.com", 8443, "/a/b?c=d")),
        ("https://8.8.8.8/x", Target("https", "8.8.8.8", 443, "/x")),
        ("https://[2606:4700::1111]:8443", Target("https", "2606:4700::1111", 8443, "/")),
    ],
)
def test_https_at_a_name_or_a_public_address_is_taken(url: str, parts: Target) -> None:
    assert target_of(url, ()) == parts
    assert parts.authority == url.removeprefix("https://").partition("/")[0].replace(".:", ":")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com",
        "ftp://hooks.example.com",
        "//hooks.example.com",
        "hooks.example.com",
        "https://",
        "https://user:secret@hooks.example.com",
        "https://token@hooks.example.com",
        "https://hooks.example.com/#x",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nX: y",
        "https://hooks.example.com\\@elsewhere.example",
        "https://h\u00f6oks.example.com",
        "https://hooks.example.com:0",
        "https://hooks.example.com:99999",
        "https://hooks.example.com/" + "x" * 2_048,
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://169%2e254%2e169%2e254",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]",
        "https://10.0.0.1",
        "https://172.16.0.1",
        "https://192.168.1.1",
        "https://100.64.0.1",
        "https://0.0.0.0",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://[::1]",
        "https://[::]",
        "https://[::ffff:10.0.0.1]",
        "https://[fe80::1]",
        "https://[fd12::1]",
        "https://[fd00:ec2::254]",
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://[2002:a00:1::]",
    ],
)
def test_any_other_url_is_refused_with_what_to_do(url: str) -> None:
    fault = url_fault(url, ())
    assert fault is not None
    assert fault.startswith("must ")


def test_what_the_operator_allows_may_be_private_and_asked_by_http_but_never_a_metadata_service() -> None:
    allowed = ("10.0.0.0/8", "hooks.internal:8080", "*.example.org")
    for url in ("http://10.1.2.3/x", "http://hooks.internal:8080", "http://a.example.org", "https://b.example.com"):
        assert url_fault(url, allowed) is None
    for url in ("http://11.0.0.1", "http://hooks.internal:8081", "http://example.org", "https://192.168.0.1"):
        assert url_fault(url, allowed) is not None
    for url in ("http://169.254.169.254", "https://[fd00:ec2::254]", "http://[fe80::1]", "http://0.0.0.0"):
        assert url_fault(url, ("*",)) is not None


@pytest.mark.parametrize(
    "peer",
    [
        *("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "172.31.255.255", "192.168.0.1", "100.127.0.1"),
        *("169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "0.0.0.0", "::"),
        *("239.1.1.1", "ff02::1", "240.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:c0a8:1::1", "192.0.2.1"),
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "2001:0:7f00:1::", "2001:db8::1", "fec0::1", "x"),
    ],
)
def test_no_receiver_that_is_not_allowed_may_turn_out_to_be_at_such_an_address(peer: str) -> None:
    assert PublicPeers().refusal(peer) is not None


@pytest.mark.parametrize("peer", ["8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_no_reason_to_hang_up(peer: str) -> None:
    assert PublicPeers().refusal(peer) is None


def test_a_message_is_signed_so_that_the_library_takes_it(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers()
    former, body = new_secret(), b'{"caf\xc3\xa9": 1}'
    answered = post(receiver.url(), body=body, secrets=(SECRET, former))
    assert (answered.status, answered.accepted, answered.detail) == (204, True, "The receiver answered 204.")
    [received] = receiver.received
    assert received.path == "/hook?token=t"
    assert received.verified_by(SECRET) == received.verified_by(former) == {"caf\u00e9": 1}
    assert received.headers["content-type"] == "application/cloudevents+json"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert received.headers["user-agent"].startswith("scanledger/")
    assert not received.headers.keys() & {"authorization", "cookie", "x-forwarded-for"}


def test_without_a_secret_nothing_is_sent(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers()
    assert "rotate it" in post(receiver.url(), secrets=()).detail
    assert receiver.received == []


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/", "http://169.254.169.254/", "https://localhost:{port}"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receivers: Callable[..., Receiver], status: int, target: str) -> None:
    receiver, elsewhere = receivers(), receivers()
    receiver.answer(status, Location=target.format(port=elsewhere.port))
    answered = post(receiver.url())
    assert (answered.status, answered.accepted) == (status, False)
    assert "redirects are not followed" in answered.detail
    assert (len(receiver.received), elsewhere.received) == (1, [])


def rebind(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Have look-ups of `evil.example` answered with these addresses, one after the other."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "evil.example":
            return real(host, port, *rest, **more)
        asked.append(host)
        address = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize("allowed", [(), ("10.0.0.0/8",)])
def test_a_name_that_leads_to_a_private_address_is_refused_before_anything_is_sent(
    receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch, allowed: Sequence[str]
) -> None:
    receiver = receivers()
    asked = rebind(monkeypatch, "127.0.0.1")
    url = f"https://evil.example:{receiver.port}/"
    assert url_fault(url, allowed) is None
    answered = post(url, allowed)
    assert (answered.status, asked) == (None, ["evil.example"])
    assert "127.0.0.1, which is no public address" in answered.detail
    assert receiver.received == []


def test_a_name_server_that_changes_its_answer_gains_nothing(
    receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once for each connection, and the address that comes of it is judged."""
    receiver = receivers()
    asked = rebind(monkeypatch, "198.51.100.7", "127.0.0.1", "127.0.0.1")
    url = f"https://evil.example:{receiver.port}/"
    for tried in (1, 2, 3):
        assert "no public address" in post(url, (), patience=BRIEF).detail
        assert len(asked) == tried
    assert receiver.received == []


def test_of_several_addresses_those_that_are_refused_are_passed_over(
    receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receivers()
    found = [(socket.AF_INET, 1, 6, "", (address, receiver.port)) for address in ("169.254.169.254", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert post(f"http://evil.example:{receiver.port}/", ("evil.example",)).accepted
    found.insert(0, (socket.AF_INET, 1, 6, "", ("127.0.0.99", receiver.port)))
    assert post(f"http://evil.example:{receiver.port}/", ("evil.example",)).accepted, "nothing listens at the first"


def test_an_allowed_name_may_not_turn_out_to_be_a_metadata_service(
    receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receivers()
    rebind(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(
        "httpcore._backends.anyio.AnyIOStream.get_extra_info",
        lambda _, info: ("169.254.169.254", 80) if info == "server_addr" else None,
    )
    answered = post(f"http://evil.example:{receiver.port}/", ("evil.example",))
    assert "169.254.169.254, a link-local address" in answered.detail
    assert receiver.received == []


def test_no_proxy_of_the_environment_is_used(
    receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, proxy = receivers(), receivers()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert post(receiver.url()).accepted
    assert (len(receiver.received), proxy.received) == (1, [])


def test_an_answer_without_end_is_not_read_to_its_end(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers()
    receiver.otherwise = Reply(200, body=b"x" * (64 * MOST_ANSWER_BYTES))
    answered = post(receiver.url())
    assert (answered.accepted, answered.detail) == (True, "The receiver answered 200.")


def drip(sending: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does this to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    sending(connection)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.close()
        thread.join()


def _silent(connection: socket.socket) -> None:
    while connection.recv(100_000):
        pass


def _headers_drop_by_drop(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    pause = threading.Event()
    while True:
        connection.sendall(b"X: y\r\n")
        pause.wait(0.05)


@pytest.mark.parametrize(
    ("sending", "said"),
    [
        (_silent, "did not answer in time"),
        (_headers_drop_by_drop, "did not answer in time"),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"), "does not speak HTTP"),
        (lambda connection: None, "hung up"),
    ],
)
def test_a_receiver_that_does_not_answer_as_it_should_is_left_in_time(
    sending: Callable[[socket.socket], None], said: str
) -> None:
    serving = drip(sending)
    answered = post(f"http://127.0.0.1:{next(serving)}/", patience=BRIEF)
    assert (answered.status, said in answered.detail) == (None, True), answered
    assert answered.took < 5
    assert list(serving) == []


def test_where_nothing_listens_or_no_such_host_is_known_that_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for host in ("127.0.0.1", "no-such-host.localhost"):
        answered = post(f"http://{host}:{port}/", ("*",))
        assert (answered.status, "cannot be connected to" in answered.detail) == (None, True)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("120", 120.0), ("0", 0.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None), ("-5", None), ("", None)],
)
def test_retry_after_is_read_as_seconds_or_a_date(
    receivers: Callable[..., Receiver], told: str, seconds: float | None
) -> None:
    receiver = receivers()
    receiver.answer(503, Retry_After=told)
    assert post(receiver.url()).retry_after == seconds


# TLS ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signs itself, for localhost, and a server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - dt.timedelta(days=1))
        .not_valid_after(now() + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    file, keyed = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    keyed.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, keyed)
    return file, context


def test_a_message_goes_over_tls_to_whom_the_system_trusts_and_to_nobody_else(
    receivers: Callable[..., Receiver], certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate
    receiver = receivers(context)
    distrusted = post(receiver.url("localhost"))
    assert (distrusted.status, "certificate is not good" in distrusted.detail) == (None, True)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert post(receiver.url("localhost")).accepted
    assert "certificate is not good" in post(receiver.url("127.0.0.1")).detail
    [received] = receiver.received
    assert received.verified_by(SECRET) == {}
