"""PyPI websockets as the server of a taiwa client. Prints `listening PORT`, and `closed PATH CODE REASON`."""

import asyncio

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
    async with serve(talk, "127.0.0.1", 0, max_size=16 << 20) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
