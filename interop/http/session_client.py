"""PyPI aioquic as the client of taiwa servers: sessions of WebTransport.

    session_client.py HOST PORT OTHER_PORT      `taiwa serve`, and `interop_session serve` of crates/taiwa/examples

prints `ok NAME` or `FAIL NAME: why`, one line a check.
"""

import asyncio
import ssl
import sys

import capsules
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset

HOST, SERVE, LIBRARY = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
STEP_S = 10


class Connection(QuicConnectionProtocol):
    """One connection of HTTP/3 with sessions, streams and datagrams as they come."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.heads, self.said, self.fins = {}, {}, set()
        self.ours, self.theirs, self.datagrams, self.resets = {}, {}, [], {}
        self.ended = None
        self.changed = asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code
        if isinstance(event, ConnectionTerminated):
            self.ended = event
        # aioquic would look for frames of HTTP/3 in what comes back on a stream of ours.
        if isinstance(event, StreamDataReceived) and event.stream_id in self.ours:
            self.ours[event.stream_id] += event.data
            if event.end_stream:
                self.fins.add(event.stream_id)
        else:
            for it in self.http.handle_event(event):
                self.take(it)
        self.changed.set()

    def take(self, it):
        if isinstance(it, HeadersReceived):
            self.heads[it.stream_id] = {name.decode(): value.decode() for name, value in it.headers}
        elif isinstance(it, DataReceived):
            self.said[it.stream_id] = self.said.get(it.stream_id, b"") + it.data
        elif isinstance(it, WebTransportStreamDataReceived):
            self.theirs[it.stream_id] = self.theirs.get(it.stream_id, b"") + it.data
        elif isinstance(it, DatagramReceived):
            self.datagrams.append((it.stream_id, it.data))
        if getattr(it, "stream_ended", False):
            self.fins.add(it.stream_id)

    async def until(self, probe, what, seconds=STEP_S):
        async def waiting():
            while not (found := probe()):
                assert self.ended is None, f"{what}: the connection ended: {self.ended}"
                self.changed.clear()
                await self.changed.wait()
            return found

        try:
            return await asyncio.wait_for(waiting(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what}: not after {seconds} s") from None

    async def ask(self, port, path, *headers):
        """Asks for a session; returns its identifier and the response's head."""
        settings = await self.until(lambda: self.http.received_settings, "SETTINGS")
        assert settings[Setting.ENABLE_WEBTRANSPORT] == 1 and settings[Setting.H3_DATAGRAM] == 1, settings
        session = self._quic.get_next_available_stream_id()
        head = [(":method", "CONNECT"), (":protocol", "webtransport"), (":scheme", "https")]
        head += [(":authority", f"{HOST}:{port}"), (":path", path), *headers]
        self.http.send_headers(session, [(name.encode(), value.encode()) for name, value in head])
        self.transmit()
        await self.until(lambda: session in self.heads, f"an answer to {path}")
        return session, self.heads[session]

    async def session(self, port, path):
        session, head = await self.ask(port, path, ("sec-webtransport-http3-draft02", "1"))
        assert head[":status"] == "200", head
        return session

    def open(self, session, what, ended=True, is_unidirectional=False):
        stream = self.http.create_webtransport_stream(session, is_unidirectional)
        if not is_unidirectional:
            self.ours[stream] = b""
        self.say(stream, what, ended)
        return stream

    def say(self, stream, what, ended=False):
        self._quic.send_stream_data(stream, what, ended)
        self.transmit()

    def close_session(self, session, code, reason):
        self.http.send_data(session, capsules.close(code, reason), True)
        self.transmit()

    async def whole(self, stream, streams):
        await self.until(lambda: stream in self.fins, f"the end of stream {stream}")
        return streams[stream]

    async def whole_of_theirs(self, remainder):
        """Returns the next stream of theirs of a kind, once it has ended."""
        kind = lambda: [it for it in self.theirs if it % 4 == remainder and it in self.fins]
        stream = (await self.until(kind, "a stream of the server"))[0]
        return stream, self.theirs.pop(stream)

    async def datagram(self, session, what):
        """Sends one until one comes back, for any may be lost."""
        end = asyncio.get_running_loop().time() + STEP_S
        while not self.datagrams:
            assert asyncio.get_running_loop().time() < end, "no datagram"
            self.http.send_datagram(session, what)
            self.transmit()
            try:
                await self.until(lambda: self.datagrams, "a datagram", 0.1)
            except AssertionError:
                assert self.ended is None, self.ended
        return self.datagrams[0]


def message(text):
    payload = text.encode() if isinstance(text, str) else text
    return (len(payload) + (0 if isinstance(text, str) else 0x80000000)).to_bytes(4, "big") + payload


async def plain(serve, _):
    session = await serve.session(SERVE, "/echo")
    said = b"".join(message(it) for it in ("dialogue", "対話", "", bytes(range(256)), "x" * 100_000))
    stream = serve.open(session, said, ended=False)
    await serve.until(lambda: len(serve.ours[stream]) >= len(said), "messages")
    assert serve.ours[stream] == said, serve.ours[stream][:100]
    serve.say(stream, b"", True)


async def plain_datagrams(serve, _):
    session = await serve.session(SERVE, "/echo")
    serve.open(session, b"", ended=False)
    assert await serve.datagram(session, b"\0hi") == (session, b"\0hi"), serve.datagrams


async def plain_nonsense(serve, _):
    session = await serve.session(SERVE, "/wrong")
    serve.open(session, b"\0\0\0\2\xc3\x28", ended=False)
    await serve.until(lambda: session in serve.fins, "the end of the session")
    assert capsules.closed(serve.said[session]) == (1007, "the text is no UTF-8"), serve.said[session]


async def plain_origin(serve, _):
    _, head = await serve.ask(SERVE, "/echo", ("origin", "https://elsewhere.example"))
    assert head[":status"] == "403", head


async def bidirectional(_, library):
    session = await library.session(LIBRARY, "/echo")
    for question in (b"dialogue", "対話".encode(), b"", bytes(1 << 20)):
        stream = library.open(session, question)
        assert await library.whole(stream, library.ours) == question, f"{len(question)} bytes changed"


async def unidirectional(_, library):
    session = await library.session(LIBRARY, "/echo")
    for question in (b"dialogue", bytes(1 << 18)):
        library.open(session, question, is_unidirectional=True)
        _, answer = await library.whole_of_theirs(3)
        assert answer == question, f"{len(answer)} bytes where {len(question)} were due"


async def opened_by_the_server(_, library):
    await library.session(LIBRARY, "/open")
    stream, question = await library.whole_of_theirs(1)
    assert question == b"who is there?", question
    library.say(stream, "対話".encode(), True)
    _, welcome = await library.whole_of_theirs(3)
    assert welcome.decode() == "welcome, 対話", welcome


async def datagrams(_, library):
    session = await library.session(LIBRARY, "/echo")
    assert await library.datagram(session, "対話".encode()) == (session, "対話".encode())


async def many(_, library):
    """Streams of two sessions at once, on a connection that has had others."""
    sessions = [await library.session(LIBRARY, "/echo") for _ in range(2)]
    streams = {library.open(sessions[it % 2], f"message {it}".encode()): it for it in range(60)}
    for stream, number in streams.items():
        assert await library.whole(stream, library.ours) == f"message {number}".encode()


async def closes(_, library):
    session = await library.session(LIBRARY, "/closes")
    library.close_session(session, 4001, "またね")
    await library.until(lambda: session in library.fins, "the end of the session")
    assert session not in library.resets, library.resets


async def closed(_, library):
    session = await library.session(LIBRARY, "/close")
    await library.until(lambda: session in library.fins, "the end of the session")
    assert capsules.closed(library.said[session]) == (4002, "またね"), library.said[session]


async def refused(_, library):
    _, head = await library.ask(LIBRARY, "/refused")
    assert head[":status"] == "404", head


CHECKS = (
    plain, plain_datagrams, plain_nonsense, plain_origin, bidirectional, unidirectional, opened_by_the_server, datagrams, many,
    closes, closed, refused,
)


def connected(port):
    settings = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, max_datagram_frame_size=65536,
    )
    return connect(HOST, port, configuration=settings, create_protocol=Connection)


async def main():
    async with connected(SERVE) as serve, connected(LIBRARY) as library:
        for check in CHECKS:
            library.datagrams.clear()
            name = check.__name__.replace("_", "-")
            try:
                await check(serve, library)
                print(f"ok {name}", flush=True)
            except Exception as why:  # What goes wrong in the peer's library is a failed check, too.
                print(f"FAIL {name}: {type(why).__name__} {why}".replace("\n", " | "), flush=True)


asyncio.run(main())
