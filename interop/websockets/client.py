"""PyPI websockets as the client of a taiwa server: the checks of checks.mjs, in Python.

    client.py WS_ORIGIN WSS_ORIGIN DOOMED_ORIGIN DOOMED_PID
"""

import asyncio
import os
import random
import signal
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

ORIGIN, SECURE, DOOMED = sys.argv[1:4]
LIMIT = 1 << 20
CHECK_S = 15


def noise(length):
    return random.Random(length).randbytes(length)


def open_(path, origin=None, compression=None):
    return connect(ORIGIN + path, compression=compression, max_size=16 << 20, proxy=None, origin=origin)


def same(received, sent):
    assert type(received) is type(sent), f"{type(sent).__name__} came back as {type(received).__name__}"
    assert received == sent, f"{len(sent)} changed into {len(received)}"


async def echo(socket, *messages):
    for message in messages:
        await socket.send(message)
        same(await socket.recv(), message)


async def echo_once(message):
    async with open_("/echo") as socket:
        await echo(socket, message)


async def ended(socket, code, reason):
    await socket.wait_closed()
    seen = socket.close_code, socket.close_reason
    # RFC 6455 §5.5.1 has the answer repeat the code; taiwa repeats the reason too.
    assert seen == (code, reason), f"closed with {seen}"


async def text():
    await echo_once("dialogue")


async def japanese():
    await echo_once("対話は、二人から始まる。𠮷野家")


async def empty():
    await echo_once("")
    await echo_once(b"")


async def binary():
    await echo_once(bytes(range(256)))


async def lengths():
    for length in (1, 125, 126, 127, 65_535, 65_536):
        await echo_once(noise(length))


async def mebibyte():
    await echo_once(noise(LIMIT - 1))


async def fragments():
    async with open_("/echo") as socket:
        await socket.send(["対", "", "話", "は"])
        same(await socket.recv(), "対話は")
        await socket.send([noise(9), b"", noise(70_000)])
        same(await socket.recv(), noise(9) + noise(70_000))


async def pipelined():
    messages = [f"message {n}" if n % 2 else noise(n) for n in range(100)]
    async with open_("/echo") as socket:
        for message in messages:
            await socket.send(message)
        for message in messages:
            same(await socket.recv(), message)


async def ping():
    async with open_("/echo") as socket:
        await (await socket.ping(b"taiwa"))


async def close():
    async with open_("/echo") as socket:
        await socket.close(4001, "またね")
        await ended(socket, 4001, "またね")
        assert socket.protocol.close_rcvd is not None and socket.protocol.close_rcvd.code == 4001


async def compression():
    async with open_("/echo", compression="deflate") as socket:
        offered = socket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert "permessage-deflate" in offered, f"extensions {offered!r}"
        for _ in range(3):
            await echo(socket, ("taiwa 対話 " * 8192)[:65_536], "short", noise(70_000), "")


async def oversize():
    async with open_("/echo") as socket:
        try:
            await socket.send(noise(LIMIT + 1))
            await socket.recv()
        except ConnectionClosed:
            pass
        await socket.wait_closed()
        assert socket.close_code == 1009, f"closed with {socket.close_code}"


async def chat():
    async with open_("/chat") as a, open_("/chat") as b, open_("/chat?echo=true") as both:
        await a.send("こんにちは")
        await a.send(noise(300))
        for listener in (b, both):
            same(await listener.recv(), "こんにちは")
            same(await listener.recv(), noise(300))
        await both.send("echo")
        for listener in (a, b, both):
            same(await listener.recv(), "echo")


async def tls():
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    async with connect(SECURE + "/echo", ssl=trusting, proxy=None) as socket:
        await echo(socket, "over TLS", noise(200_000))
        await socket.close(4001, "tls")
        await ended(socket, 4001, "tls")


async def origin():
    async with open_("/echo", origin=ORIGIN.replace("ws", "http", 1)):
        pass
    try:
        async with open_("/echo", origin="http://elsewhere.example"):
            raise AssertionError("a foreign Origin was let in")
    except InvalidStatus as refusal:
        assert refusal.response.status_code == 403, refusal


async def going_away():
    async with connect(DOOMED + "/echo", proxy=None) as socket:
        await echo(socket, "still here")
        os.kill(int(sys.argv[4]), signal.SIGTERM)
        await socket.wait_closed()
        assert socket.close_code in (1001, 1012), f"closed with {socket.close_code}"


CHECKS = (
    text, japanese, empty, binary, lengths, mebibyte, fragments, pipelined, ping, close, compression, oversize,
    chat, tls, origin, going_away,
)


async def main():
    print("skip close-without-code: the client always sends a code")
    for check in CHECKS:
        name = check.__name__.replace("_", "-")
        try:
            await asyncio.wait_for(check(), CHECK_S)
            print("ok", name, flush=True)
        except Exception as why:
            print(f"FAIL {name}: {type(why).__name__} {why}".replace("\n", " | "), flush=True)


asyncio.run(main())
