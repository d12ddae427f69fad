// npm `socket.io-client` behind a balancer without stickiness: requests of one session reach any of three nodes, so does the
// WebSocket to which it moves; nodes are killed, and whoever was on them goes on elsewhere.
//
//   node cluster/socketio.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { io } from 'socket.io-client';

import { API_KEY, Site } from '../site.mjs';
import { Clients } from '../socketio/clients.mjs';
import { holds, runAll, same, until } from '../words.mjs';
import { Balancer } from './balancer.mjs';
import { Broker, lacks } from './brokers.mjs';
import { Publisher } from './publisher.mjs';

const [, , taiwa] = process.argv;
const WAIT_MS = 30_000;
/** How many clients of each kind there are. */
const EACH = 4;

const SETTINGS = `
[api]
keys = ["${API_KEY}"]

[cluster]
deadline = "2s"
silence = "5s"

[dialects.socketio]
broadcast = ["said"]
recovery = "2m"

[limits.channel]
page_max = 10000

[[namespace]]
history_size = 10000
history_ttl = "1h"
recovery = "stream"
presence = true
idempotency_ttl = "5m"
rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }
`;

const why = lacks('redis');
const broker = why ? undefined : await Broker.start('redis');
const nodes = why ? [] : await Promise.all([1, 2, 3].map(() => Site.start(taiwa, SETTINGS, ['--broker', broker.url])));
const balancer = why ? undefined : await Balancer.before(nodes);
const all = ['polling', 'upgrade', 'websocket'].map((kind) => new Clients(kind, { 4: io }));

/** Clients of all kinds through the balancer; those who upgrade are given time for it. */
const crowd = (options) =>
  Promise.all(all.flatMap((clients) => Array.from({ length: EACH }, () => clients.connect(balancer.http, options))));
const counted = (socket) => socket.args('message').flat();

/** Has a crowd listen to `/` while somebody publishes there and things happen, and looks through what each heard. */
async function through(happen) {
  const sockets = await crowd();
  const publisher = new Publisher(nodes, '/');
  await publisher.more(20);
  await happen({ sockets, publisher });
  await publisher.more(20);
  const last = await publisher.stop();
  await until('all heard the last', () => sockets.every((it) => counted(it).at(-1) === last), WAIT_MS).catch((late) => {
    throw new Error(`${late.message}, ${last}: ${sockets.map((it) => counted(it).at(-1))}`);
  });
  for (const socket of sockets) {
    const numbers = counted(socket);
    same(numbers, Array.from({ length: last - numbers[0] + 1 }, (_, n) => numbers[0] + n), 'what it heard');
    holds(numbers[0] < 20, `it began with ${numbers[0]}`);
  }
  for (const clients of all) clients.leave();
  return sockets;
}

const checks = {
  async 'any-node'() {
    const sockets = await crowd();
    for (const [n, it] of sockets.entries()) it.emit('said', n, new Uint8Array([n]));
    await until('all hear all', () => sockets.every((it) => it.heard('said').length === sockets.length), WAIT_MS);
    for (const it of sockets) {
      const heard = it.args('said').sort(([a], [b]) => a - b);
      same(heard, sockets.map((_, n) => [n, { bytes: [n] }]), 'what it heard');
      same(it.all('connect').length, 1, 'connections');
    }
    const counts = await Promise.all(nodes.map(async (it) => (await it.metrics())['taiwa_sessions{dialect="socketio"}'] ?? 1));
    holds(counts.every((it) => it > 0), `sessions of the nodes: ${counts}`);
    for (const clients of all) clients.leave();
  },
  async 'told-at-any-node'() {
    const sockets = await crowd();
    for (const [n, socket] of sockets.entries()) {
      const session = socket.id;
      socket.answers = { sum: (...all) => [all.length] };
      for (const [at, node] of nodes.entries()) {
        same(await node.api('tell', { session, event: 'told', args: [at, ['two'], n] }), { affected: 1 });
        same(await node.api('call', { session, method: 'sum', args: [1, 2] }), { data: 2 });
      }
      await until('it is told by all', () => socket.heard('told').length === nodes.length, WAIT_MS);
      same(socket.args('told'), nodes.map((_, at) => [at, ['two'], n]));
    }
    for (const clients of all) clients.leave();
  },
  async 'resumed-elsewhere'() {
    const sockets = await through(async ({ sockets, publisher }) => {
      for (let times = 2; times <= 3; times += 1) {
        balancer.cut();
        // Who polls is cut in the middle of a request, or notices nothing.
        await publisher.more(20);
        await until('they are back', () => sockets.every((it) => it.connected), WAIT_MS);
      }
    });
    const again = sockets.flatMap((it) => it.all('connect').slice(1));
    holds(again.length > 0, 'nobody was cut');
    same(again.filter((it) => !it.recovered).length, 0, 'not recovered');
  },
  async 'node-killed'() {
    const sockets = await through(async ({ sockets, publisher }) => {
      const back = await nodes[0].die();
      await publisher.more(20);
      await until('they are back', () => sockets.every((it) => it.connected), WAIT_MS);
      await back();
    });
    const again = sockets.flatMap((it) => it.all('connect').slice(1));
    holds(again.length > 0, 'nobody was on it');
    same(again.filter((it) => !it.recovered).length, 0, 'not recovered');
  },
  async 'ends-well'() {
    balancer.close();
    await Promise.all(nodes.map((it) => it.finish(/the broker can't be reached/)));
    await broker.stop();
    broker.kill();
  },
};

const skipped = Object.fromEntries(Object.keys(checks).map((name) => [name, async () => why]));
await runAll(why ? skipped : checks, console.log, 60_000);
process.exit(0);
