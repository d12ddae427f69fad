"""The benchmark's server of picows on uvloop, as its documentation shows one: all settings at their defaults but those that a task
asks for. The first argument is the task; without one it echoes."""

import asyncio
import sys

import uvloop
from picows import WSCloseCode, WSListener, WSMsgType, ws_create_server

MESSAGES = (WSMsgType.TEXT, WSMsgType.BINARY)
everyone = []


class Listener(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type in MESSAGES:
            self.said(transport, frame)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code() or WSCloseCode.OK)
            transport.disconnect()


class Echo(Listener):
    def said(self, transport, frame):
        transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class FanOut(Listener):
    def on_ws_connected(self, transport):
        everyone.append(transport)

    def on_ws_disconnected(self, transport):
        everyone.remove(transport)

    def said(self, transport, frame):
        message = frame.get_payload_as_bytes()
        for member in everyone:
            member.send(frame.msg_type, message)


async def main():
    task = sys.argv[1] if len(sys.argv) > 1 else "echo"
    listener = {"echo": Echo, "echo-forward": Echo, "echo-large": Echo, "fan-out": FanOut}[task]
    more = {"max_frame_size": 32 << 20} if task == "echo-large" else {}
    server = await ws_create_server(lambda request: listener(), "127.0.0.1", 0, **more)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
