"""No address of a request leads into the service's own network: as a source, as a target, or as a callback.

Every connection of a socket is recorded, so that a test sees whether anything was asked, and not what the code meant.
"""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.service.conftest import NOT_INSTALLED
from tests.service.storage.web_store import Page, WebStore

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_core.errors import LipSyncError
from lipsync_service.callbacks.sender import CallbackSender, Letter
from lipsync_service.errors import UrlRefusedError
from lipsync_service.storage.address import AddressGuard
from lipsync_service.storage.http_client import HttpClient
from lipsync_service.storage.special_addresses import CHECKED_ON, age_warning, is_special
from lipsync_service.storage.storage import Storage
from lipsync_service.storage.url import parse_url

MakeSettings = Callable[..., Any]
NOW = datetime(2026, 11, 28, tzinfo=UTC)

#: Numeric addresses, as a name server may give them.
_SPECIAL_V4 = r"""
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.1.2.3 168.63.129.16
    169.254.0.23 169.254.42.42 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192
    192.0.0.170 192.0.2.1 192.31.196.1 192.52.193.1 192.80.8.124 192.88.99.1 192.168.1.1 192.175.48.1 198.18.0.1
    198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
"""
SPECIAL_V4 = _SPECIAL_V4.split()
_SPECIAL_V6 = r"""
    ::1 :: ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::ffff:0:127.0.0.1 64:ff9b::7f00:1
    64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1
    2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a9fe:a9fe:: 2002:808:808::1 2606:4700::5efe:7f00:1
    2606:4700::200:5efe:a9fe:a9fe 2620:4f:8000::1 3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254
    fd00:42::42 fd20:ce::254 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1 feff::1 ff02::1 ff0e::1
"""
SPECIAL_V6 = _SPECIAL_V6.split()
#: Hosts as a request may write them.
_WRITTEN = r"""
    localhost LOCALHOST localhost. a.localhost local 127.1 127.0.1 0 0x7f.1 0x7f000001 0X7F.0.0.1 2130706433
    017700000001 0177.0.0.1 0177.1 127.0.0.1. 00000127.0.0.1 127.0.0.256 127.0.0.1.1 127。0。0。1 127．0．0．1 127｡0｡0｡1
    １２７.0.0.1 ①②⑦.⓪.⓪.① ⓛⓞⓒⓐⓛⓗⓞⓢⓣ 0300.0250.1.1 0xa9fea9fe 2852039166 169.254.43518 metadata metadata.
    metadata.google.internal METADATA.google.internal. metadata.goog instance-data instance-data.ec2.internal
    metadata.packet.net metadata.tencentyun.com kubernetes kubernetes.default.svc
    kubernetes.default.svc.cluster.local host.docker.internal gateway.docker.internal router.home.arpa printer.local
    intranet db.corp nas.lan x.onion %31%32%37.0.0.1 127.0.0.1%2f 127.0.0.1%00.example.com example.com%2f@127.0.0.1
    user@127.0.0.1 user:pw@127.0.0.1 example.com@127.0.0.1 127.0.0.1\.example.com 127.0.0.1:22 127.0.0.1:0
    8.8.8.8:22 8.8.8.8:6379 example.com:25 [::1]:22 [fe80::1%25eth0] [fe80::1%eth0] [::1%25lo] [v1.fe80]
    [::ffff:127.0.0.1 [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:ffff:7f00:0001] [::ffff:7f00:1] [::7f00:1]
    -a.example.com a..example.com .example.com
"""
WRITTEN = _WRITTEN.split()
_PUBLIC = """
    8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 168.63.129.15 172.32.0.1 192.0.1.1 192.88.98.1 198.20.0.1
    223.255.255.255 2606:4700::1111 2001:4860:4860::8888 2a00:1450::1 64:ff9b::808:808 ::ffff:8.8.8.8
"""
PUBLIC = _PUBLIC.split()
HOSTS = [*SPECIAL_V4, *(f"[{each}]" for each in SPECIAL_V6), *WRITTEN]
USES = ("source", "target", "callback")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The peers that a socket of this process was to connect to, and the names that were looked up outside."""
    peers: list[object] = []

    class Recording(socket.socket):
        def connect(self, address: Any) -> None:
            peers.append(address)
            raise ConnectionRefusedError

    look_up = socket.getaddrinfo

    def numeric_only(host: str, *args: Any, **options: Any) -> Any:
        """No test may depend on a name server, and `localhost` is known without one."""
        options["flags"] = 0 if host == "localhost" else socket.AI_NUMERICHOST
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "socket", Recording)
    monkeypatch.setattr(socket, "getaddrinfo", numeric_only)
    yield peers


class Door:
    """One service, and the code with which it refuses an address: None where it does not."""

    def __init__(self, settings: Any, resolve: Any = None) -> None:
        self.storage = Storage(settings, resolve=resolve)  # one for all: each reads the machine's certificates
        self.sender = CallbackSender(settings)

    def code(self, url: str, use: str) -> str | None:
        if use == "callback":
            return self.sender.send(Letter(uuid4(), url, b"{}"), NOW).error_code
        try:
            if use == "source":
                with self.storage.fetch(url):
                    pass
            else:
                self.storage.check_target(url)
                self.storage.put(Path(__file__), url)
        except LipSyncError as error:
            return error.code
        return None


def test_there_are_enough_forms() -> None:
    assert len(HOSTS) == len(set(HOSTS)) >= 140


@pytest.mark.parametrize("use", USES)
def test_an_address_of_the_inner_network_is_refused_and_nobody_is_asked(
    settings: MakeSettings, asked: list[object], use: str
) -> None:
    door = Door(settings(callback_secret="secret"))
    urls = [f"{scheme}://{host}/latest/meta-data.mp4" for host in HOSTS for scheme in ("http", "https")]
    assert {url: code for url in urls if (code := door.code(url, use)) != "URL_REFUSED"} == {}
    assert asked == []


@pytest.mark.parametrize("use", ["source", "target"])
def test_a_public_name_that_leads_inside_is_refused(settings: MakeSettings, asked: list[object], use: str) -> None:
    """Also where only one of its addresses does, of either family, and whichever comes first."""
    found: list[str] = []
    door = Door(settings(), lambda host, port: tuple(found))
    for address in (*SPECIAL_V4, *SPECIAL_V6, "fe80::1%eth0"):
        for found[:] in ([address], ["8.8.8.8", address], [address, "2606:4700::1111"]):
            assert door.code("https://www.example.com/a.mp4", use) == "URL_REFUSED", found
    assert asked == []


@pytest.mark.parametrize(
    "address",
    PUBLIC,
)
def test_a_public_address_is_asked(settings: MakeSettings, asked: list[object], address: str) -> None:
    assert not is_special(address)
    storage = Storage(settings(), resolve=lambda host, port: (address,))
    with pytest.raises(Exception, match="connection failed"), storage.fetch("https://www.example.com/a.mp4"):
        pass
    assert {peer[0] for peer in asked if isinstance(peer, tuple)} == {address}


def test_other_ports_are_asked_only_where_they_are_allowed(settings: MakeSettings, asked: list[object]) -> None:
    url = "http://8.8.8.8:8080/a.mp4"
    for use in USES:
        assert Door(settings(callback_secret="s")).code(url, use) == "URL_REFUSED"
    assert asked == []
    for chosen in (settings(http_ports=(80, 8080)), settings(http_allowed_hosts=("8.8.8.8:8080",))):
        with pytest.raises(Exception, match="connection failed"), Storage(chosen).fetch(url):
            pass
        assert asked.pop() == ("8.8.8.8", 8080)
    with pytest.raises(UrlRefusedError):
        Storage(settings(http_ports=(8080,))).check_target("http://8.8.8.8/a.mp4")


def test_a_redirect_to_the_inner_network_is_not_followed(web: WebStore, settings: MakeSettings) -> None:
    """The page redirects to its own server under other names, so that its list of requests shows what was asked."""
    door = Door(settings(http_allowed_hosts=(f"127.0.0.1:{web.port}",)))
    for host in HOSTS:
        has_port = ":" in host.rpartition("]")[2].rpartition("@")[2]
        port = web.port + 1 if host == "127.0.0.1" else web.port
        target = f"http://{host}/secret" if has_port else f"http://{host}:{port}/secret"
        web.pages["/a"], web.pages["/secret"] = Page(location=target.encode().decode("latin-1")), Page(b"secret")
        assert (host, door.code(web.url("/a"), "source")) == (host, "URL_REFUSED")
    assert {path for _, path, _ in web.requests} == {"/a"} and len(web.requests) == len(HOSTS)


def test_a_name_that_means_something_else_the_second_time_is_asked_at_its_first_address(
    asked: list[object],
) -> None:
    answers = iter([("8.8.8.8",), ("127.0.0.1",), ("169.254.169.254",)])
    client = HttpClient(AddressGuard([], lambda host, port: next(answers)))
    with (
        pytest.raises(Exception, match="connection failed"),
        client.answer("GET", parse_url("http://rebound.example.com/a"), {}),
    ):
        pass
    assert asked == [("8.8.8.8", 80)]
    for _ in range(2):  # each use looks the name up, and checks what it finds
        with pytest.raises(UrlRefusedError), client.answer("GET", parse_url("http://rebound.example.com/a"), {}):
            pass
    assert asked == [("8.8.8.8", 80)]


def test_a_name_with_thousands_of_addresses_is_tried_at_a_few(asked: list[object]) -> None:
    client = HttpClient(AddressGuard([], lambda host, port: [f"8.8.{n >> 8}.{n & 255}" for n in range(5000)]))
    with (
        pytest.raises(Exception, match="connection failed"),
        client.answer("GET", parse_url("http://many.example.com/a"), {}),
    ):
        pass
    assert len(asked) == 16


def test_an_address_is_seen_in_one_form() -> None:
    forms = {
        "http://EXAMPLE.com.:80/a": "example.com",
        "http://exámple。com/a": "xn--exmple-qta.com",
        "http://[2606:4700:0:0:0:0:0:1111]/a": "2606:4700::1111",
        "http://8.8.8.8/a": "8.8.8.8",
    }
    assert {url: parse_url(url).host for url in forms} == forms


def test_the_list_says_when_it_is_older_than_a_year() -> None:
    assert age_warning(CHECKED_ON) is None
    assert age_warning(date.fromordinal(CHECKED_ON.toordinal() + 365)) is None
    said = age_warning(date.fromordinal(CHECKED_ON.toordinal() + 366))
    assert said is not None and str(CHECKED_ON) in said and "sources" in said


def test_the_list_is_not_older_than_a_year() -> None:
    """It is skipped then, with the reason in CI's list: a date alone must not stop other work."""
    said = age_warning(datetime.now(UTC).date())
    if said is not None:
        pytest.skip(said)
    assert said is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "2130706433", "127.1", "8.8.8.8:6379", "10.1.2.3:81"]
)
def test_an_address_that_is_never_called_is_refused_before_anybody_connects(host: str) -> None:
    with pytest.raises(UrlRefusedError):
        AddressGuard(["10.1.2.3:8080"]).check_literal(f"http://{host}/hook")


@pytest.mark.parametrize("host", ["8.8.8.8", "10.1.2.3:8080", "inside.corp", "localhost", "example.com:81"])
def test_an_address_that_may_be_called_passes_and_a_name_is_not_looked_up(host: str) -> None:
    looked_up: list[str] = []
    guard = AddressGuard(["10.1.2.3:8080"], lambda name, port: looked_up.append(f"{name}:{port}") or [])
    guard.check_literal(f"http://{host}/hook")
    assert looked_up == []
