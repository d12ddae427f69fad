// A server is exchanged for the next one on its port, under published clients of all kinds: each is told to go at a moment of
// its own, comes back by itself, is told honestly that the history of one server ended with it, and hears what is said then.
//
//   node crowd/exchange.mjs TAIWA
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check.
import * as json from 'centrifuge';
import * as protobuf from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import { WebSocket } from 'ws';

import { Clients } from '../centrifuge/clients.mjs';
import { Listener } from '../eventsource/clients.mjs';
import { Site } from '../site.mjs';
import { holds, runAll, same, until } from '../words.mjs';

const CROWD = { 'json-websocket': 40, 'protobuf-websocket': 20, 'json-stream': 10, 'json-sse': 10, 'protobuf-stream': 10 };
const EVENTS = 10;
const PERIOD_MS = 4_000;
const WAIT_MS = 30_000;
const FLAGS = ['--reuse-port', 'true', '--drain-period', `${PERIOD_MS}ms`];

const taiwa = process.argv[2];
const packages = { json, protobuf };
const environment = { websocket: WebSocket, eventsource: EventSource, fetch, readableStream: ReadableStream };

const first = await Site.start(taiwa, '', FLAGS);
let second;
const crowd = [];
const sources = [];
let told;

/** One that publishes without a pause, and counts what was acknowledged. */
async function speaker() {
  const clients = new Clients('json-websocket', packages, environment);
  const client = await clients.connect(first.http);
  const it = { acknowledged: [], refused: 0, ends: false };
  it.over = (async () => {
    for (let n = 0; !it.ends; n += 1) {
      try {
        await client.publish('news', n);
        it.acknowledged.push(n);
      } catch {
        // It was told to go meanwhile: nobody knows whether that was said.
        it.refused += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    client.disconnect();
  })();
  return it;
}

const spread = (times, what) => {
  const parts = [0, 0, 0, 0];
  for (const it of times) parts[Math.min(3, Math.floor(((it - told) * 4) / PERIOD_MS))] += 1;
  holds(parts.every((it) => it > times.length / 12 && it < times.length / 2), `${what}: ${parts}`);
};

let talks;
await runAll({
  async 'they-come'() {
    talks = await speaker();
    for (const [kind, count] of Object.entries(CROWD)) {
      const clients = new Clients(kind, packages, environment);
      for (let n = 0; n < count; n += 1) {
        const client = await clients.connect(first.http, { minReconnectDelay: 20, maxReconnectDelay: 300 });
        const subscription = await clients.subscribe(client, 'news', { recoverable: true });
        client.on('connecting', ({ code }) => (client.toldAt ??= [Date.now(), code]));
        crowd.push({ kind, client, subscription });
      }
    }
    for (let n = 0; n < EVENTS; n += 1) sources.push(await Listener.open(EventSource, `${first.http}/sse/news`));
  },
  async 'each-is-told-at-a-moment-of-its-own'() {
    second = await Site.start(taiwa, '', FLAGS, first.port);
    told = Date.now();
    same(await first.stop(), 0, 'the end of the first');
    holds(Date.now() - told < PERIOD_MS + 12_000, `it took ${Date.now() - told} ms to end`);
    same([...new Set(crowd.map(({ client }) => client.toldAt?.[1]))], [3001], 'codes');
    spread(crowd.map(({ client }) => client.toldAt[0]), 'goodbyes');
    for (const source of sources) {
      await until('a goodbye', () => source.all('taiwa:disconnect').length === 1);
      same(JSON.parse(source.all('taiwa:disconnect')[0]), { reason: 'the server goes away', reconnect: true });
    }
  },
  async 'all-come-back-by-themselves'() {
    const back = ({ client, subscription }) => client.state === 'connected' && subscription.state === 'subscribed';
    await until('all of them', () => crowd.every(back), WAIT_MS);
    for (const { kind, client } of crowd) {
      same([kind, client.story.all('disconnected').length], [kind, 0]);
      // Requests of the others may first go by connections that are still open to the first.
      const came = client.story.all('connected').length;
      holds(kind.endsWith('websocket') ? came === 2 : came >= 2, `${kind} came ${came} times`);
    }
    await until('all sources', () => sources.every((it) => it.opened >= 2 && it.source.readyState === 1), WAIT_MS);
  },
  async 'they-are-told-that-history-ended'() {
    for (const { kind, subscription } of crowd) {
      const [before, { wasRecovering, recovered }] = subscription.story.all('subscribed');
      same([kind, before.wasRecovering, wasRecovering, recovered], [kind, false, true, false]);
    }
    for (const source of sources) {
      // Its connection is open when the head of the answer is there; what is told comes behind that.
      await until('a gap', () => source.all('taiwa:gap').length !== 0);
      same(source.all('taiwa:gap').length, 1, 'gaps');
    }
  },
  async 'what-is-said-then-reaches-all-once-and-in-order'() {
    talks.ends = true;
    await talks.over;
    const last = talks.acknowledged.at(-1);
    for (const { kind, subscription } of crowd) {
      await until(`${kind} hears ${last}`, () => subscription.values().at(-1) === last);
    }
    for (const source of sources) await until(`a source hears ${last}`, () => Number(source.all('message').at(-1)) === last);
    const all = [...crowd.map(({ subscription }) => subscription.values()), ...sources.map((it) => it.all('message').map(Number))];
    for (const values of all) holds(values.every((it, n) => n === 0 || it > values[n - 1]), `out of order, or twice: ${values}`);
    holds(talks.refused <= 1, `${talks.refused} were not answered`);
  },
  async 'ends-well'() {
    for (const { client } of crowd) client.disconnect();
    for (const source of sources) source.close();
    await second.finish();
  },
}, console.log, 60_000);
process.exit(0);
