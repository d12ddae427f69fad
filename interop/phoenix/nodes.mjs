// npm `phoenix` before several nodes with Redis: long polls go to whatever node, nodes are killed and come back, and nothing is
// lost that the history has.
//
//   node phoenix/nodes.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import * as phoenix from 'phoenix';
import { Agent, fetch as fetchOf } from 'undici';
import { WebSocket } from 'ws';

import { Balancer } from '../cluster/balancer.mjs';
import { Broker, lacks } from '../cluster/brokers.mjs';
import { API_KEY, Site } from '../site.mjs';
import { becomes, runAll, same, until } from '../words.mjs';
import { Clients } from './clients.mjs';
import { channelThatResumes } from './resume.mjs';

const NODES = 3;
const WAIT_MS = 20_000;

const SETTINGS = `
[api]
keys = ["${API_KEY}"]

[cluster]
deadline = "2s"
silence = "5s"

[dialects.phoenix]
poll_window = "2s"

[[namespace]]
history_size = 1000
history_ttl = "1h"
recovery = "stream"
presence = true
join_leave = true
rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }
`;

// Each request takes a connection of its own, and so the next node.
const dispatcher = new Agent({ pipelining: 0 });
globalThis.fetch = (url, init) => fetchOf(url, { ...init, dispatcher });

const broker = lacks('redis') ? undefined : await Broker.start('redis');
const nodes = broker
  ? await Promise.all(Array.from({ length: NODES }, () => Site.start(process.argv[2], SETTINGS, ['--broker', broker.url])))
  : [];
const balancer = broker && (await Balancer.before(nodes));
const kinds = ['websocket', 'longpoll'].map((kind) => new Clients(kind, phoenix, { WebSocket }));

/** One client of each kind in a topic, which resumes. */
async function crowd(topic) {
  const options = { params: { positions: true } };
  return Promise.all(
    kinds.map(async (clients) => {
      const socket = await clients.connect(balancer.http, options);
      const channel = clients.watch(channelThatResumes(socket, topic));
      await clients.joined(channel);
      return channel;
    }),
  );
}

const publish = (node, channel, n) => node.api('publish', { channel, event: 'said', data: { n } });
const numbers = (channel) => channel.heard.map(({ n }) => n);
const upTo = (n) => Array.from({ length: n }, (_, at) => at + 1);

async function hearAll(channels, count) {
  for (const it of channels) await becomes(() => numbers(it), upTo(count), 'heard', WAIT_MS);
}

const checks = {
  async 'polls-at-any-node'() {
    const [, polls] = kinds;
    const channel = await polls.join(await polls.connect(balancer.http), 'any-node');
    for (const n of upTo(30)) same(await polls.push(channel, 'said', { n }), {});
    await hearAll([channel], 30);
    const { members } = await nodes[0].api('presence', { channel: 'any-node' });
    same(members.length, 1, 'sessions: each node had made its own');
  },
  async presence() {
    const seen = [];
    for (const [at, node] of nodes.entries()) {
      const clients = kinds[at % kinds.length];
      const channel = clients.prepare(await clients.connect(node.http), 'presence');
      seen.push(new phoenix.Presence(channel));
      await clients.joined(channel);
    }
    await until('each sees all', () => seen.every((it) => it.list().length === NODES), WAIT_MS);
    kinds[1].leave();
    await until('the others see one go', () => [seen[0], seen[2]].every((it) => it.list().length === 2), WAIT_MS);
  },
  async 'nodes-killed-one-by-one'() {
    const all = await crowd('killed');
    let n = 0;
    for (const [at, node] of nodes.entries()) {
      const other = nodes[(at + 1) % NODES];
      await publish(other, 'killed', (n += 1));
      const again = await node.die();
      await publish(other, 'killed', (n += 1));
      await again();
      await publish(other, 'killed', (n += 1));
      await hearAll(all, n);
    }
    for (const it of all) same(it.replies.every(({ recovered }) => recovered !== false), true, 'recovered');
  },
  async 'all-killed'() {
    const all = await crowd('all-killed');
    await publish(nodes[0], 'all-killed', 1);
    await hearAll(all, 1);
    const again = await Promise.all(nodes.map((it) => it.die()));
    await Promise.all(again.map((it) => it()));
    await publish(nodes[0], 'all-killed', 2);
    await until('all are back', () => all.every((it) => it.replies.length >= 2), WAIT_MS);
    await publish(nodes[1], 'all-killed', 3);
    await hearAll(all, 3);
    for (const it of all) same(it.replies.at(-1).recovered, true);
  },
  async 'ends-well'() {
    balancer.close();
    // Clients that are cut off, and a store that other nodes left, are said.
    await Promise.all(nodes.map((it) => it.finish()));
    await broker.stop?.();
  },
};

const tidied = Object.entries(checks).map(([name, check]) => [
  name,
  async () => {
    if (!broker) return lacks('redis');
    try {
      return await check();
    } finally {
      for (const it of kinds) it.leave();
    }
  },
]);
await runAll(Object.fromEntries(tidied), console.log, 60_000);
process.exit(0);
