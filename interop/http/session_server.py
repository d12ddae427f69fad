"""PyPI aioquic as the server of a taiwa client: sessions of WebTransport.

    session_server.py CERT KEY

prints `listening PORT`, and `closed PATH CODE REASON` at each end. What it does on which path stands in
crates/taiwa/examples/interop_session.rs.
"""

import asyncio
import sys

import capsules
from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived


def say(*words):
    print(*words, flush=True)


class Server(QuicConnectionProtocol):
    """One connection. `sessions` has the path of each and what its stream said, `ours` the session of each stream that we opened."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.sessions, self.ours, self.heard = {}, {}, {}

    def quic_event_received(self, event):
        # aioquic would look for frames of HTTP/3 in what comes back on a stream of ours.
        if isinstance(event, StreamDataReceived) and event.stream_id in self.ours:
            self.answered(event)
            self.transmit()
            return
        for it in self.http.handle_event(event):
            if isinstance(it, HeadersReceived):
                self.asked(it.stream_id, dict(it.headers))
            elif isinstance(it, DataReceived) and it.stream_id in self.sessions:
                self.said(it)
            elif isinstance(it, WebTransportStreamDataReceived) and it.session_id in self.sessions:
                self.received(it)
            elif isinstance(it, DatagramReceived) and it.stream_id in self.sessions:
                self.http.send_datagram(it.stream_id, it.data)
        self.transmit()

    def asked(self, session, head):
        path = head[b":path"].decode()
        if head[b":method"] != b"CONNECT" or head.get(b":protocol") != b"webtransport" or path == "/refused":
            self.http.send_headers(session, [(b":status", b"404")], end_stream=True)
            return
        self.http.send_headers(session, [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")])
        self.sessions[session] = [path, b""]
        if path == "/close":
            self.http.send_data(session, capsules.close(4002, "またね"), True)
        elif path == "/open":
            stream = self.http.create_webtransport_stream(session)
            self.ours[stream] = session
            self._quic.send_stream_data(stream, b"who is there?", True)

    def said(self, event):
        self.sessions[event.stream_id][1] += event.data
        if event.stream_ended:
            path, said = self.sessions.pop(event.stream_id)
            say("closed", path, *(capsules.closed(said) or (0, "")))
            if path != "/close":
                self.http.send_data(event.stream_id, b"", True)

    def received(self, event):
        stream, data = event.stream_id, event.data
        if stream % 4 == 0:
            self._quic.send_stream_data(stream, data, event.stream_ended)
            return
        self.heard[stream] = self.heard.get(stream, b"") + data
        if event.stream_ended:
            self.answer(event.session_id, self.heard.pop(stream))

    def answered(self, event):
        stream = event.stream_id
        self.heard[stream] = self.heard.get(stream, b"") + event.data
        if event.end_stream:
            self.answer(self.ours.pop(stream), b"welcome, " + self.heard.pop(stream))

    def answer(self, session, what):
        stream = self.http.create_webtransport_stream(session, is_unidirectional=True)
        self._quic.send_stream_data(stream, what, True)


async def main(cert, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN, max_datagram_frame_size=65536)
    configuration.load_cert_chain(cert, key)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Server)
    say("listening", server._transport.get_extra_info("sockname")[1])
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
