"""PyPI `centrifuge-python` as a member of a channel: prints what it hears, publishes what it is told.

    python3 together/member.py WS_ORIGIN CHANNEL json|protobuf

Each line of stdin is `{"value": …}` or, with protobuf, `{"bytes": […]}`; each of stdout what was heard in the same form,
or `{"done": true}` once it is subscribed, and behind each publication that was answered.
"""

import asyncio
import json
import sys

from centrifuge import Client, SubscriptionEventHandler


def tell(what):
    print(json.dumps(what), flush=True)


class Ears(SubscriptionEventHandler):
    def __init__(self, is_binary):
        self.is_binary = is_binary

    async def on_publication(self, ctx):
        # Nothing in Protocol Buffers is None here.
        tell({"bytes": list(ctx.pub.data or b"")} if self.is_binary else {"value": ctx.pub.data})


async def main():
    origin, channel, form = sys.argv[1:]
    is_binary = form == "protobuf"
    client = Client(f"{origin}/connection/websocket", use_protobuf=is_binary)
    await client.connect()
    subscription = client.new_subscription(channel, events=Ears(is_binary))
    await subscription.subscribe()
    await subscription.ready(timeout=15)
    tell({"done": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        said = json.loads(line)
        await subscription.publish(bytes(said["bytes"]) if is_binary else said["value"])
        tell({"done": True})


asyncio.run(main())
