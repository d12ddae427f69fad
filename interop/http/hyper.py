"""PyPI h2 and wsproto as the client of a taiwa server: WebSockets on streams of one connection of HTTP/2.

    hyper.py HOST PORT      prints `ok NAME` or `FAIL NAME: why`, one line a check
"""

import select
import socket
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate

HOST, PORT = sys.argv[1], int(sys.argv[2])
STEP_S = 10


class Session:
    """One connection of HTTP/2; each stream has its head, what came on it and whether it has ended."""

    def __init__(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection((HOST, PORT), STEP_S))
        assert self.socket.selected_alpn_protocol() == "h2", self.socket.selected_alpn_protocol()
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.streams = {}
        self.settled = False
        self.flush()
        self.until(lambda: self.settled, "the SETTINGS of the server")

    def flush(self):
        if data := self.http.data_to_send():
            self.socket.sendall(data)

    def turn(self):
        """Takes in what has come, or waits a little for it."""
        if self.socket.pending() or select.select([self.socket], [], [], 0.1)[0]:
            data = self.socket.recv(65536)
            assert data, "the server ended the connection"
            for event in self.http.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled = True
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.head = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream.body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code

    def until(self, probe, what):
        end = time.monotonic() + STEP_S
        while not probe():
            assert time.monotonic() < end, f"{what}: not after {STEP_S} s"
            self.turn()

    def ask(self, method, path, *headers):
        number = self.http.get_next_available_stream_id()
        stream = self.streams[number] = Stream(self, number)
        pseudo = [(":method", method), (":scheme", "https"), (":authority", f"{HOST}:{PORT}"), (":path", path)]
        self.http.send_headers(number, pseudo + list(headers), end_stream=method == "GET")
        self.flush()
        self.until(lambda: stream.head is not None, f"the response to {path}")
        return stream

    def open(self, path, deflate=False):
        offered = PerMessageDeflate()
        headers = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
        if deflate:
            headers.append(("sec-websocket-extensions", f"permessage-deflate; {offered.offer()}"))
        stream = self.ask("CONNECT", path, *headers)
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

    def write(self, data):
        http = self.session.http
        while data:
            room = min(http.local_flow_control_window(self.number), http.max_outbound_frame_size)
            if room == 0:
                self.session.turn()
                continue
            http.send_data(self.number, data[:room])
            data = data[room:]
            self.session.flush()

    def say(self, event):
        self.write(self.ws.send(event))

    def send(self, message):
        self.say(events.TextMessage(data=message) if isinstance(message, str) else events.BytesMessage(data=message))

    def next(self):
        """Returns the next whole message, or another event."""
        parts = []
        while True:
            self.session.until(lambda: self.arrived or self.body, "a message")
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

    def echo(self, *messages):
        for message in messages:
            self.send(message)
            back = self.next()
            assert back == message, f"{str(back)[:60]} where {str(message)[:60]} was due"

    def close(self, code=1000, reason=None):
        self.say(events.CloseConnection(code=code, reason=reason))
        answer = self.next()
        assert isinstance(answer, events.CloseConnection), answer
        self.session.until(lambda: self.ended, "END_STREAM behind the Close frame")
        assert self.reset is None, f"reset with {self.reset}"
        return answer.code, answer.reason


def announced(session):
    settings = session.http.remote_settings
    assert settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1, settings


def messages(session):
    stream = session.open("/echo")
    stream.echo("dialogue", "対話", "", bytes(range(256)), b"", bytes(200_000))
    assert stream.close()[0] == 1000, "its close"


def compression(session):
    stream = session.open("/echo", deflate=True)
    stream.echo("taiwa 対話 " * 5000, "short", "taiwa 対話 " * 5000, bytes(70_000), "")
    stream.close()


def fragments(session):
    stream = session.open("/echo")
    for part, last in (("対", False), ("", False), ("話", True)):
        stream.say(events.TextMessage(data=part, message_finished=last))
    assert stream.next() == "対話"
    stream.close()


def ping(session):
    stream = session.open("/echo")
    stream.say(events.Ping(payload=b"taiwa"))
    pong = stream.next()
    assert isinstance(pong, events.Pong) and pong.payload == b"taiwa", pong
    stream.close()


def close(session):
    assert session.open("/echo").close(4001, "またね") == (4001, "またね")


def beside(session):
    one, two = session.open("/beside"), session.open("/beside")
    page = session.ask("GET", "/")
    session.until(lambda: page.ended, "the page")
    assert page.head[":status"] == "200" and page.body.startswith(b"<!doctype html"), page.head
    one.send("to the other")
    assert two.next() == "to the other"
    one.close()
    two.close()


def oversize(session):
    stream = session.open("/echo")
    stream.send(bytes((1 << 20) + 1))
    end = stream.next()
    assert isinstance(end, events.CloseConnection) and end.code == 1009, end


CHECKS = (announced, messages, compression, fragments, ping, close, beside, oversize)


def main():
    session = Session()
    for check in CHECKS:
        try:
            check(session)
            print(f"ok {check.__name__}", flush=True)
        except Exception as why:  # What goes wrong in the peer's libraries is a failed check, too.
            print(f"FAIL {check.__name__}: {type(why).__name__} {why}", flush=True)


main()
