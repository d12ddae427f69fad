"""PyPI aioquic, with wsproto for the frames, as the server of a taiwa client: WebSockets on streams of HTTP/3.

    server_h3.py CERT KEY

prints `listening PORT`, `asked NAME=VALUE ..` for each request (its pseudo-header fields and `sec-websocket-` ones), and
`closed PATH CODE END` for each WebSocket, where END is how its stream ended. Echoes; the paths /close, /refused and /reset say
what else it does.
"""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamReset
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate


def say(*words):
    print(*words, flush=True)


class Server(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.sockets = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.sockets:
            self.ended(event.stream_id, f"reset-{event.error_code}")
        for it in self.http.handle_event(event):
            if isinstance(it, HeadersReceived):
                self.asked(it.stream_id, dict(it.headers))
            elif isinstance(it, DataReceived) and it.stream_id in self.sockets:
                if it.data:
                    self.received(it.stream_id, it.data)
                if it.stream_ended and it.stream_id in self.sockets:
                    self.ended(it.stream_id, "fin")
        self.transmit()

    def asked(self, stream, head):
        shown = sorted((name.decode(), value.decode()) for name, value in head.items())
        say("asked", *(f"{name}={value.replace(' ', '')}" for name, value in shown if name != "user-agent"))
        path = head[b":path"].decode()
        if path == "/refused":
            self.http.send_headers(stream, [(b":status", b"403"), (b"content-type", b"text/plain")])
            self.http.send_data(stream, b"not you", True)
            return
        answer = [(b":status", b"200")]
        if b"sec-websocket-protocol" in head:
            answer.append((b"sec-websocket-protocol", b"b"))
        deflate = PerMessageDeflate()
        offered = head.get(b"sec-websocket-extensions", b"").decode()
        extensions = []
        if "permessage-deflate" in offered:
            params = deflate.accept(offered)
            extensions = [deflate]
            answer.append((b"sec-websocket-extensions", f"permessage-deflate; {params}".rstrip("; ").encode()))
        self.http.send_headers(stream, answer)
        if path == "/reset":
            # Not before the response is on its way.
            asyncio.get_running_loop().call_later(0.2, self.reset, stream)
            return
        self.sockets[stream] = [path, Connection(ConnectionType.SERVER, extensions), None]
        if path == "/close":
            self.send(stream, events.CloseConnection(4002, "またね"))

    def received(self, stream, data):
        path, socket, _ = self.sockets[stream]
        socket.receive_data(data)
        for event in socket.events():
            if isinstance(event, events.Message):
                self.send(stream, type(event)(event.data, event.frame_finished, event.message_finished))
            elif isinstance(event, events.Ping):
                self.send(stream, event.response())
            elif isinstance(event, events.CloseConnection):
                self.sockets[stream][2] = event.code
                # The answer to ours is none of its own.
                if path != "/close":
                    self.send(stream, event.response())
                self.http.send_data(stream, b"", True)

    def reset(self, stream):
        self._quic.reset_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        self.transmit()

    def send(self, stream, event):
        self.http.send_data(stream, self.sockets[stream][1].send(event), False)

    def ended(self, stream, how):
        path, _, code = self.sockets.pop(stream)
        say("closed", path, code, how)


async def main(cert, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(cert, key)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Server)
    say("listening", server._transport.get_extra_info("sockname")[1])
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
