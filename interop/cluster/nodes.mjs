// Several nodes behind a balancer, for clients that others wrote: nodes die and come back, so does the broker, and each
// client's story is looked through. Order holds, nothing is lost within the history, nothing comes twice, and who lost
// something is told so.
//
//   node cluster/nodes.mjs redis|nats TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { Listener, gather, judge } from '../crowd/listener.mjs';
import { API_KEY, Site } from '../site.mjs';
import { holds, runAll, same, until } from '../words.mjs';
import { Balancer } from './balancer.mjs';
import { Broker, lacks } from './brokers.mjs';
import { Publisher } from './publisher.mjs';

const [, , kind, taiwa] = process.argv;
const NODES = 3;
const WAIT_MS = 30_000;
/** How long a client waits for an answer, as long as it does by itself: what the broker lost on its way is asked again. */
const ANSWER_MS = 5_000;
/** How many clients of each kind there are. Those over HTTP show that no request needs the node of the one before. */
const CROWD = { 'json-websocket': 30, 'protobuf-websocket': 12, 'json-stream': 6, 'json-sse': 6, 'protobuf-stream': 6, events: 12 };
/** After which a node that died is no longer in presence. */
const SILENCE_S = 5;

const SETTINGS = `
[api]
keys = ["${API_KEY}"]

[cluster]
deadline = "2s"
silence = "${SILENCE_S}s"

[dialects.sse]
retry = "100ms"

[limits.channel]
page_max = 10000

[[namespace]]
name = "long"
history_size = 10000
history_ttl = "1h"
recovery = "stream"
presence = true
join_leave = true
idempotency_ttl = "5m"
rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }
`;

const broker = lacks(kind) ? undefined : await Broker.start(kind);
const start = () => Site.start(taiwa, SETTINGS, ['--broker', broker.url]);
const nodes = broker ? await Promise.all(Array.from({ length: NODES }, start)) : [];
const balancer = broker && (await Balancer.before(nodes));
const someBack = (crowd, said) => until('all are back', () => crowd.every((it) => it.last > said), WAIT_MS);

/** Has a crowd listen, lets things happen while somebody publishes, and looks through all stories. */
async function through(channel, happen, { mayMiss = false } = {}) {
  const crowd = await gather(CROWD, balancer.http, channel, 1, ANSWER_MS);
  const publisher = new Publisher(nodes, channel);
  await publisher.more(20);
  await happen({ crowd, publisher });
  await publisher.more(20);
  const last = await publisher.stop();
  await until('all heard the last', () => crowd.every((it) => it.last >= last), WAIT_MS).catch(() => {});
  judge(crowd, last);
  const gaps = crowd.filter((it) => it.story.includes('gap')).length;
  if (!mayMiss) same(gaps, 0, 'clients that were told of a gap');
  for (const it of crowd) it.close();
  return { publisher, crowd, gaps };
}

const checks = {
  async 'one-order'() {
    const { crowd } = await through('long:one', ({ publisher }) => publisher.more(100));
    const [first, ...others] = crowd.map((it) => it.story.filter((word) => typeof word === 'number'));
    for (const other of others) same(other, first.slice(-other.length), 'what another client heard');
  },
  async 'resumed-elsewhere'() {
    const { crowd } = await through('long:cut', async ({ crowd, publisher }) => {
      for (let cut = 1; cut <= 3; cut += 1) {
        const { said } = publisher;
        holds(balancer.cut() > 0, 'nobody was cut');
        await publisher.more(10);
        await someBack(crowd, said);
      }
    });
    holds(crowd.every((it) => it.returns >= 3), 'not all were cut each time');
  },
  async 'node-killed'() {
    await through('long:killed', async ({ crowd, publisher }) => {
      const { said } = publisher;
      const back = await nodes[0].die();
      await publisher.more(20);
      await someBack(crowd, said + 10);
      await back();
    });
  },
  async 'dead-leave-presence'() {
    const [one, two] = [await Listener.centrifuge('json-websocket', nodes[0].http, 'long:there'), await Listener.centrifuge('json-websocket', nodes[1].http, 'long:there')];
    const count = async (node) => (await node.api('presence_stats', { channel: 'long:there' })).sessions;
    await until('both are there', async () => (await count(nodes[2])) === 2);
    const back = await nodes[0].die();
    one.close();
    const began = Date.now();
    await until('the dead is gone', async () => (await count(nodes[2])) === 1, 3 * SILENCE_S * 1000);
    holds(Date.now() - began < 2 * SILENCE_S * 1000 + 1000, `it took ${Date.now() - began} ms`);
    two.close();
    await back();
  },
  async 'all-killed'() {
    const publisher = new Publisher(nodes, 'long:all');
    await publisher.more(50);
    const last = await publisher.stop();
    const backs = await Promise.all(nodes.map((it) => it.die()));
    await Promise.all(backs.map((back) => back()));
    const history = await nodes[1].api('history', { channel: 'long:all', limit: 1000 });
    same(history.publications.map((it) => it.data), Array.from({ length: last }, (_, at) => at + 1), 'the history');
  },
  async 'broker-restarted'() {
    const { publisher } = await through('long:restarted', async ({ publisher }) => {
      const before = publisher.errors;
      await broker.stop('SIGKILL');
      await until('a publisher gets an error', () => publisher.errors > before);
      await broker.begin();
      await publisher.more(20);
    });
    holds(publisher.errors > 0, 'nobody noticed');
  },
  async 'broker-slow'() {
    await through('long:slow', async ({ publisher }) => {
      for (let pause = 1; pause <= 2; pause += 1) {
        broker.pause();
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        broker.goOn();
        await publisher.more(20);
      }
    });
  },
  async 'broker-forgets'() {
    // What it said is gone with it: all who listen are told so, and hear what follows.
    const crowd = await gather(CROWD, balancer.http, 'long:forgotten', 0.3, ANSWER_MS);
    const early = new Publisher(nodes, 'long:forgotten');
    await early.more(20);
    await early.stop();
    await broker.stop('SIGKILL');
    broker.forget();
    await broker.begin();
    const late = new Publisher(nodes, 'long:forgotten', 1000);
    await late.more(20);
    const last = 1000 + (await late.stop());
    await until('all heard the last', () => crowd.every((it) => it.last >= last && it.story.includes('gap')), WAIT_MS).catch((late) => {
      throw new Error(`${late.message}, ${last}: ${crowd.map((it) => it.story.slice(-4).join(' ')).join(', ')}`);
    });
    for (const it of crowd) {
      const after = it.story.slice(it.story.indexOf('gap')).filter((word) => typeof word === 'number');
      const twice = after.some((word, at) => at > 0 && word !== after[at - 1] + 1);
      holds(!twice && after.at(-1) === last, `after the gap: ${after.slice(-5)}`);
      it.close();
    }
  },
  async 'ends-well'() {
    balancer.close();
    await Promise.all(nodes.map((it) => it.finish(/the broker can't be reached/)));
    await broker.stop();
    broker.kill();
  },
};

const why = lacks(kind);
const skipped = Object.fromEntries(Object.keys(checks).map((name) => [name, async () => why]));
await runAll(why ? skipped : checks, console.log, 150_000);
process.exit(0);
