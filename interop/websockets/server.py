"""PyPI websockets as the server of a taiwa client: `server.py [CERT KEY]`.

Prints `listening PORT`, and `closed PATH CODE REASON` at each end.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def talk(socket):
    path = socket.request.path
    try:
        if path == "/close":
            await socket.close(4002, "またね")
        if path == "/big":
            await socket.send(bytes((1 << 20) + 1))
        if path == "/ping":
            await (await socket.ping(b"taiwa"))
            await socket.send("pong taiwa")
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass
    finally:
        await socket.wait_closed()
        print("closed", path, socket.close_code, socket.close_reason, flush=True)


async def main():
    tls = None
    if sys.argv[1:]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*sys.argv[1:])
    async with serve(talk, "127.0.0.1", 0, max_size=16 << 20, ssl=tls) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
