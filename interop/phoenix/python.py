"""What PyPI `phoenix-channels-python-client` proves against taiwa, by one serializer. It joins, hears and leaves; it has no pushes.

    python python.py WS_ORIGIN v1|v2

prints `ok NAME` or `FAIL NAME: why`, one line a check, and asks its parent with lines that begin with `do`.
"""

import asyncio
import json
import logging
import sys
from contextlib import asynccontextmanager

from phoenix_channels_python_client import PHXChannelsClient, PhoenixChannelsProtocolVersion, ReconnectPolicy

ORIGIN, SERIALIZER = sys.argv[1:3]
# By the second serializer 0.4.1 drops what has no join_ref, which broadcasts have not, the framework's own neither.
HEARS_BROADCASTS = SERIALIZER == "v1"
VERSION = {"v1": PhoenixChannelsProtocolVersion.V1, "v2": PhoenixChannelsProtocolVersion.V2}[SERIALIZER]
STEP_S = 10
CHECK_S = 30
VALUES = [{"n": 1, "text": '対話 𠮷野家 é\n"', "list": [None, True, -1.5e-7, ""]}, {"empty": {}}, {"long": "対話" * 20_000}]

logging.disable(logging.CRITICAL)
asking = asyncio.Lock()


async def control(name, *given):
    """Asks the parent for something that only it can do."""
    async with asking:
        print("do", json.dumps({"name": name, "given": given}), flush=True)
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return json.loads(line)["result"]


def publish(channel, data):
    return control("api", "publish", {"channel": channel, "event": "said", "data": data})


async def until(what, probe):
    end = asyncio.get_running_loop().time() + STEP_S
    while not probe():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"{what}: not after {STEP_S} s")
        await asyncio.sleep(0.01)


def same(seen, due):
    assert seen == due, f"{str(seen)[:300]} where {str(due)[:300]} was due"


@asynccontextmanager
async def client(query="", **options):
    """A client, with what it lost and how often it came back."""
    lost, back = [], []

    async def topic_lost(topic, error):
        lost.append(topic)

    async def reconnected():
        back.append(1)

    async with PHXChannelsClient(
        f"{ORIGIN}/socket/websocket{query}", "key", protocol_version=VERSION, heartbeat_interval_s=1.0,
        on_topic_lost=topic_lost, on_reconnect=reconnected,
        reconnect_policy=ReconnectPolicy(base_delay_s=0.05, max_delay_s=0.2), **options,
    ) as it:
        it.lost, it.back = lost, back
        yield it


async def join(it, topic):
    """Joins and returns the payloads of `said` as they come."""
    heard = []

    async def hear(payload):
        heard.append(payload)

    async def whatever(message):
        pass

    await it.subscribe_to_topic(topic, whatever)
    it.add_event_handler(topic, "said", hear)
    return heard


async def hears():
    async with client() as it:
        heard = await join(it, "hears")
        for value in VALUES:
            await publish("hears", value)
        await until("all", lambda: len(heard) == len(VALUES))
        same(heard, VALUES)


async def with_positions():
    async with client("?positions=true") as it:
        heard = await join(it, "places")
        await publish("places", {"n": 1})
        await until("it", lambda: heard)
        same(heard, [{"n": 1}])


async def refused():
    async with client() as it:
        for topic in ("closed:a", "nowhere:a", "asked:closed"):
            try:
                await join(it, topic)
            except Exception:
                continue
            raise AssertionError(f"{topic} was joined")


async def leave():
    async with client() as it:
        heard = await join(it, "leave")
        await it.unsubscribe_from_topic("leave")
        await publish("leave", {"n": 1})
        again = await join(it, "leave")
        await publish("leave", {"n": 2})
        await until("the second", lambda: again)
        same((heard, again), ([], [{"n": 2}]))


async def closed_by_the_server():
    async with client("?user=python") as it:
        await join(it, "closes")
        await control("api", "unsubscribe", {"user": "python", "channel": "closes"})
        await until("it is told", lambda: it.lost)
        same(it.lost, ["closes"])


async def rejoins_when_rights_end():
    async with client() as it:
        heard = await join(it, "asked:short")
        await until("the end", lambda: not it.is_topic_joined("asked:short"))
        await until("the next", lambda: it.is_topic_joined("asked:short"))
        await publish("asked:short", {"n": 1})
        await until("it", lambda: heard or not HEARS_BROADCASTS)


async def comes_back():
    async with client() as it:
        heard = await join(it, "back")
        await control("cut")
        await until("it is back", lambda: it.back and it.is_topic_joined("back"))
        await publish("back", {"n": 1})
        await until("it", lambda: heard == [{"n": 1}] or not HEARS_BROADCASTS)


async def heartbeats():
    acknowledged = []
    async with client(on_heartbeat_ack=lambda: acknowledged.append(1)) as it:
        await join(it, "heartbeats")
        await until("four of them", lambda: len(acknowledged) >= 4)
        same(it.back, [])


async def main():
    of_both = (refused, closed_by_the_server, rejoins_when_rights_end, comes_back, heartbeats)
    for check in ((hears, with_positions, leave) if HEARS_BROADCASTS else ()) + of_both:
        name = check.__name__.replace("_", "-")
        try:
            await asyncio.wait_for(check(), CHECK_S)
            print("ok", name, flush=True)
        except Exception as error:
            print(f"FAIL {name}: {type(error).__name__} {error}".replace("\n", " | "), flush=True)


asyncio.run(main())
