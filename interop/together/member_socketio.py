"""PyPI `python-socketio` as a member of a channel: prints what it hears, publishes what it is told.

    python3 together/member_socketio.py HTTP_ORIGIN CHANNEL

Each line of stdin is `{"event": …, "value": …}` or `{"event": …, "bytes": […]}`; each of stdout what was heard in the same form, or
`{"done": true}` once it is in, and behind each publication that was answered.
"""

import asyncio
import json
import sys

import socketio


def tell(what):
    print(json.dumps(what), flush=True)


async def main():
    origin, channel, *_ = sys.argv[1:]
    client = socketio.AsyncClient()

    def hear(event, it):
        tell({"event": event, "bytes": list(it)} if isinstance(it, bytes) else {"event": event, "value": it})

    client.on("*", hear)
    await client.connect(f"{origin}?channel={channel}")
    tell({"done": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        said = json.loads(line)
        it = bytes(said["bytes"]) if "bytes" in said else said["value"]
        answer = await client.call("taiwa:publish", (channel, said["event"], it))
        assert "error" not in (answer or {}), answer
        tell({"done": True})


asyncio.run(main())
