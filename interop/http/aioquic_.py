"""PyPI aioquic and wsproto as the client of a taiwa server: WebSockets on streams of one connection of HTTP/3 (RFC 9220).

    aioquic_.py HOST PORT      prints `ok NAME` or `FAIL NAME: why`, one line a check
"""

import asyncio
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate

HOST, PORT = sys.argv[1], int(sys.argv[2])
STEP_S = 10


class Session(QuicConnectionProtocol):
    """One connection of HTTP/3."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.streams = {}
        self.ended = None
        self.changed = asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            self.streams[event.stream_id].reset = event.error_code
        if isinstance(event, ConnectionTerminated):
            self.ended = event
        for it in self.http.handle_event(event):
            stream = self.streams.get(getattr(it, "stream_id", None))
            if stream is None:
                continue
            if isinstance(it, HeadersReceived):
                stream.head = {name.decode(): value.decode() for name, value in it.headers}
            elif isinstance(it, DataReceived):
                stream.body += it.data
            stream.ended = stream.ended or it.stream_ended
        self.changed.set()

    async def until(self, probe, what):
        async def waiting():
            while not probe():
                assert self.ended is None, f"{what}: the connection ended: {self.ended}"
                self.changed.clear()
                await self.changed.wait()

        try:
            await asyncio.wait_for(waiting(), STEP_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what}: not after {STEP_S} s") from None

    def begin(self, method, path, *headers, body=None):
        number = self._quic.get_next_available_stream_id()
        stream = self.streams[number] = Stream(self, number)
        head = [(":method", method), (":scheme", "https"), (":authority", f"{HOST}:{PORT}"), (":path", path), *headers]
        encoded = [(name.encode(), value.encode()) for name, value in head]
        self.http.send_headers(number, encoded, end_stream=method == "GET")
        if body is not None:
            self.http.send_data(number, body, True)
        self.transmit()
        return stream

    async def ask(self, method, path, *headers, body=None):
        stream = self.begin(method, path, *headers, body=body)
        await self.until(lambda: stream.head is not None, f"the response to {path}")
        return stream

    async def open(self, path, deflate=False):
        offered = PerMessageDeflate()
        headers = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
        if deflate:
            headers.append(("sec-websocket-extensions", f"permessage-deflate; {offered.offer()}"))
        stream = await self.ask("CONNECT", path, *headers)
        assert stream.head[":status"] == "200", stream.head
        agreed = stream.head.get("sec-websocket-extensions")
        assert (agreed is not None) == deflate, f"extensions: {agreed}"
        if agreed:
            offered.finalize(agreed)
        stream.ws = Connection(ConnectionType.CLIENT, [offered] if agreed else [])
        return stream


class Stream:
    """One stream, with a WebSocket on it if `ws` is one."""

    def __init__(self, session, number):
        self.session, self.number = session, number
        self.head, self.body, self.ended, self.reset, self.ws = None, b"", False, None, None
        self.arrived = []

    def say(self, event):
        self.session.http.send_data(self.number, self.ws.send(event), False)
        self.session.transmit()

    def send(self, message):
        self.say(events.TextMessage(data=message) if isinstance(message, str) else events.BytesMessage(data=message))

    async def next(self):
        """Returns the next whole message, or another event."""
        parts = []
        while True:
            await self.session.until(lambda: self.arrived or self.body, "a message")
            if self.body:
                self.ws.receive_data(self.body)
                self.body = b""
                self.arrived += self.ws.events()
            while self.arrived:
                event = self.arrived.pop(0)
                if not isinstance(event, events.Message):
                    return event
                parts.append(event.data)
                if event.message_finished:
                    return parts[0][:0].join(parts)

    async def echo(self, *messages):
        for message in messages:
            self.send(message)
            back = await self.next()
            assert back == message, f"{str(back)[:60]} where {str(message)[:60]} was due"

    async def close(self, code=1000, reason=None):
        self.say(events.CloseConnection(code=code, reason=reason))
        answer = await self.next()
        assert isinstance(answer, events.CloseConnection), answer
        await self.session.until(lambda: self.ended, "the end of the stream behind the Close frame")
        assert self.reset is None, f"reset with {self.reset}"
        return answer.code, answer.reason


async def announced(session):
    await session.until(lambda: session.http.received_settings is not None, "SETTINGS")
    settings = session.http.received_settings
    assert settings[Setting.ENABLE_CONNECT_PROTOCOL] == 1, settings


async def page(session):
    page = await session.ask("GET", "/")
    await session.until(lambda: page.ended, "the page")
    assert page.head[":status"] == "200" and page.body.startswith(b"<!doctype html"), page.head
    assert len(page.body) == int(page.head["content-length"]), page.head


async def post(session):
    long = b"x" * 300_000
    answer = await session.ask("POST", "/nowhere", ("content-length", str(len(long))), body=long)
    await session.until(lambda: answer.ended or answer.reset is not None, "the end of the answer")
    assert answer.head[":status"] in ("404", "405", "413", "426"), answer.head


async def version_seen(session):
    stream = await session.open("/here")
    listing = await session.open("/.taiwa/connections")
    rows = json.loads(await listing.next())["rows"]
    assert [row["http"] for row in rows if row["path"] == "/here"] == ["3"], rows
    await listing.close()
    await stream.close()


async def messages(session):
    stream = await session.open("/echo")
    await stream.echo("dialogue", "対話", "", bytes(range(256)), b"", bytes(200_000))
    assert (await stream.close())[0] == 1000, "its close"


async def compression(session):
    stream = await session.open("/echo", deflate=True)
    await stream.echo("taiwa 対話 " * 5000, "short", "taiwa 対話 " * 5000, bytes(70_000), "")
    await stream.close()


async def fragments(session):
    stream = await session.open("/echo")
    for part, last in (("対", False), ("", False), ("話", True)):
        stream.say(events.TextMessage(data=part, message_finished=last))
    assert await stream.next() == "対話"
    await stream.close()


async def ping(session):
    stream = await session.open("/echo")
    stream.say(events.Ping(payload=b"taiwa"))
    pong = await stream.next()
    assert isinstance(pong, events.Pong) and pong.payload == b"taiwa", pong
    await stream.close()


async def close(session):
    assert await (await session.open("/echo")).close(4001, "またね") == (4001, "またね")


async def beside(session):
    one, two = await session.open("/beside"), await session.open("/beside")
    page = await session.ask("GET", "/")
    await session.until(lambda: page.ended, "the page")
    one.send("to the other")
    assert await two.next() == "to the other"
    await one.close()
    await two.close()


async def many(session):
    streams = [await session.open("/echo") for _ in range(60)]
    for number, stream in enumerate(streams):
        stream.send(f"message {number}")
    for number, stream in enumerate(streams):
        assert await stream.next() == f"message {number}"
    for stream in streams:
        await stream.close()


async def reset(session):
    one, other = await session.open("/left"), await session.open("/left")
    session._quic.reset_stream(one.number, 0x10C)
    session._quic.stop_stream(one.number, 0x10C)
    session.transmit()
    stream = await session.open("/echo")
    await stream.echo("still here")
    await stream.close()
    await other.close()


async def refused(session):
    stream = await session.ask("CONNECT", "/echo", (":protocol", "websocket"), ("sec-websocket-version", "8"))
    assert stream.head[":status"] == "400", stream.head
    stream = await session.ask(
        "CONNECT", "/echo", (":protocol", "websocket"), ("sec-websocket-version", "13"), ("origin", "https://elsewhere.example"),
    )
    assert stream.head[":status"] == "403", stream.head
    stream = await session.ask("CONNECT", "/echo", (":protocol", "connect-ip"), ("capsule-protocol", "?1"))
    assert stream.head[":status"] == "501", stream.head


async def oversize(session):
    stream = await session.open("/echo")
    stream.send(bytes((1 << 20) + 1))
    end = await stream.next()
    assert isinstance(end, events.CloseConnection) and end.code == 1009, end


CHECKS = (
    announced, page, post, version_seen, messages, compression, fragments, ping, close, beside, many, reset, refused, oversize,
)


async def main():
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect(HOST, PORT, configuration=settings, create_protocol=Session) as session:
        for check in CHECKS:
            name = check.__name__.replace("_", "-")
            try:
                await check(session)
                print(f"ok {name}", flush=True)
            except Exception as why:  # What goes wrong in the peer's libraries is a failed check, too.
                print(f"FAIL {name}: {type(why).__name__} {why}".replace("\n", " | "), flush=True)


asyncio.run(main())
