"""PyPI socketify (µWebSockets) as the server of a taiwa client: `server.py [CERT KEY]`.

Prints `listening PORT`, and `closed PATH CODE REASON` at each end.
"""

import sys

from socketify import App, AppOptions, CompressOptions, OpCode

tls = None
if sys.argv[1:]:
    tls = AppOptions(cert_file_name=sys.argv[1], key_file_name=sys.argv[2])
app = App(tls)


def upgrade(response, request, context):
    response.upgrade(
        request.get_header("sec-websocket-key"),
        request.get_header("sec-websocket-protocol") or "",
        request.get_header("sec-websocket-extensions") or "",
        context,
        {"path": request.get_url()},
    )


def opened(socket):
    path = socket.get_user_data()["path"]
    if path == "/close":
        socket.end(4002, "またね")
    elif path == "/big":
        socket.send(bytes((1 << 20) + 1), OpCode.BINARY, False)
    elif path == "/ping":
        socket.send(b"taiwa", OpCode.PING)


def message(socket, payload, opcode):
    socket.send(payload, opcode, True)


def pong(socket, payload):
    if socket.get_user_data()["path"] == "/ping":
        text = payload.decode() if isinstance(payload, bytes) else payload
        socket.send(f"pong {text}", OpCode.TEXT)


def closed(socket, code, reason):
    text = reason.decode() if isinstance(reason, bytes) else reason
    print("closed", socket.get_user_data()["path"], code, text or "", flush=True)


app.ws(
    "/*",
    {
        "compression": CompressOptions.DEDICATED_COMPRESSOR,
        "max_payload_length": 16 << 20,
        "max_backpressure": 16 << 20,
        "idle_timeout": 60,
        "upgrade": upgrade,
        "open": opened,
        "message": message,
        "pong": pong,
        "close": closed,
    },
)
app.listen({"port": 0, "host": "127.0.0.1"}, lambda config: print("listening", config.port, flush=True))
app.run()
