#!/usr/bin/env python3
"""One device: measures, says it, and does what it is told. Needs PyPI `websockets`.

    DEVICE_TOKEN=$(taiwa token make --user pump7) python3 device.py pump7
"""

import asyncio
import json
import os
import random
import sys
import time
from contextlib import suppress
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

TAIWA = os.environ.get("TAIWA_URL", "http://127.0.0.1:8000").replace("http", "ws", 1)


async def measure(socket, pace):
    celsius = random.uniform(15, 25)
    with suppress(ConnectionClosed):
        while True:
            celsius += random.uniform(-0.5, 0.5)
            said = {"at": time.time(), "celsius": round(celsius, 1), "every": pace["every"]}
            await socket.send(json.dumps(said))
            await asyncio.sleep(pace["every"])


async def obey(socket, pace):
    with suppress(ConnectionClosed):
        async for message in socket:
            said = json.loads(message)
            # It hears two channels, and what it said last itself is in the other one.
            if "celsius" not in said:
                pace["every"] = said["every"]
                print("every", pace["every"], flush=True)


async def live(device, token):
    # It speaks in the first channel, and hears the last order of the second at once.
    query = urlencode([("channel", f"device:#{device}"), ("channel", f"order:#{device}"), ("last", "true")])
    headers, pace = {"Authorization": f"Bearer {token}"}, {"every": 1}
    # Comes back by itself, after pauses that grow; that an old connection is dead is noticed by its pings.
    async for socket in connect(f"{TAIWA}/?{query}", additional_headers=headers, ping_interval=5, ping_timeout=5):
        print("connected", flush=True)
        measuring = asyncio.create_task(measure(socket, pace))
        await obey(socket, pace)
        measuring.cancel()
        print("not connected:", socket.close_code, socket.close_reason, flush=True)
        # Taiwa's codes behind 4400 are those of HTTP: a device that is refused would be refused again.
        if socket.close_code in (4400, 4401, 4403, 4404):
            sys.exit(1)


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], os.environ["DEVICE_TOKEN"]))
