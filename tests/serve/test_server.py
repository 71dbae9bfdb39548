"""The token, the socket and the signals."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reeltune.config.schema import ServingSection
from reeltune.errors import ConfigError
from reeltune.serve.server import MIN_TOKEN_LENGTH, listen, read_token, run, url_of
from tests.errors import raises_error
from tests.serve.running import TOKEN


def section(**settings: Any) -> ServingSection:
    return ServingSection(**{"port": 0, **settings})


def test_loopback_needs_no_token_but_uses_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("REELTUNE_TOKEN", raising=False)
    assert read_token(section()) is None
    monkeypatch.setenv("REELTUNE_TOKEN", TOKEN)
    assert read_token(section()) == TOKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "films.example"])
def test_any_other_host_needs_a_token(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.delenv("ITEMS_TOKEN", raising=False)
    with raises_error(ConfigError, "token_required", where="ITEMS_TOKEN", figures=[host]):
        read_token(section(host=host, token_env="ITEMS_TOKEN"))
    monkeypatch.setenv("ITEMS_TOKEN", TOKEN)
    assert read_token(section(host=host, token_env="ITEMS_TOKEN")) == TOKEN


@pytest.mark.parametrize(
    "token", ["", "x" * (MIN_TOKEN_LENGTH - 1), "x" * 20 + "\n", "x" * 20 + "é", " " + "x" * 20]
)
def test_short_or_unsendable_tokens_are_errors(monkeypatch: pytest.MonkeyPatch, token: str):
    monkeypatch.setenv("REELTUNE_TOKEN", token)
    with raises_error(ConfigError, "weak_token", where="REELTUNE_TOKEN", figures=[16]):
        read_token(section())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_socket_on_loopback(host: str):
    with listen(section(host=host)) as listener:
        bound, port = listener.getsockname()
        assert ipaddress.ip_address(bound).is_loopback
        assert url_of(listener) == f"http://127.0.0.1:{port}"


def test_nagles_algorithm_is_off():
    # asyncio switches Nagle's algorithm off where it can tell that a socket is TCP's.
    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            found.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen(section()) as listener:
            async with await asyncio.start_server(connected, sock=listener) as server:
                _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.close()
                return await found

    assert asyncio.run(accepted())


def test_a_port_in_use_is_an_error():
    with listen(section()) as listener:
        port = listener.getsockname()[1]
        with raises_error(
            ConfigError, "port_in_use", where="serving.port", figures=[port, "--port"]
        ):
            listen(section(port=port))


@pytest.mark.parametrize("host", ["203.0.113.7", "é" * 70, "[::1]", "1.2.3"])
def test_an_address_of_another_machine_is_an_error(host: str):
    with raises_error(ConfigError, "host_unavailable", where="serving.host", figures=["--host"]):
        listen(section(host=host))


def serve_until(action: Callable[[], object]) -> None:
    """Run a server whose application does something once it has started."""
    started = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.startup":
                started.set()
                action()
            else:
                return

    serving = section()
    with listen(serving) as listener:
        run(app, listener, serving)
    assert started.is_set()


@pytest.fixture
def hangup() -> Iterator[None]:
    """SIGHUP ends a process, as if it was not started by nohup."""
    if sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


UNIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", pytest.param("SIGHUP", marks=UNIX)])
def test_a_signal_ends_the_server_and_handlers_are_restored(name: str):
    sign = signal.Signals[name]
    numbers = {signal.SIGTERM, signal.SIGINT, sign}
    before = [signal.getsignal(number) for number in numbers]
    serve_until(lambda: signal.raise_signal(sign))
    assert before == [signal.getsignal(number) for number in numbers]


@UNIX
@pytest.mark.usefixtures("hangup")
def test_nohup_keeps_the_server_running():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handlers: list[object] = []

    def note_and_end() -> None:
        handlers.append(signal.getsignal(signal.SIGHUP))
        signal.raise_signal(signal.SIGTERM)

    serve_until(note_and_end)
    assert handlers == [signal.SIG_IGN]
