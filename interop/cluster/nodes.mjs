// Several nodes behind a balancer, for clients that others wrote: nodes die and come back, so does the broker, and each
// client's story is looked through. Order holds, nothing is lost within the history, nothing comes twice, and who lost
// something is told so.
//
//   node cluster/nodes.mjs redis|redis-cluster|nats TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { Clients } from '../centrifuge/clients.mjs';
import { Listener, environment, gather, judge, packages } from '../crowd/listener.mjs';
import { API_KEY, Site } from '../site.mjs';
import { becomes, holds, runAll, same, until } from '../words.mjs';
import { Balancer } from './balancer.mjs';
import { Broker, lacks } from './brokers.mjs';
import { Publisher } from './publisher.mjs';

const [, , kind, taiwa] = process.argv;
const NODES = 3;
const WAIT_MS = 30_000;
/** How long a client waits for an answer, as long as it does by itself: what the broker lost on its way is asked again. */
const ANSWER_MS = 5_000;
/** How many clients of each kind there are. Those over HTTP show that no request needs the node of the one before. */
const CROWD = { 'json-websocket': 30, 'protobuf-websocket': 12, 'json-stream': 6, 'json-sse': 6, 'protobuf-stream': 6, events: 12, 'socket-websocket': 6, 'socket-polling': 4 };
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

[dialects.socketio]
recovery = "2m"

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
async function through(channel, happen, mayDoubt = () => false) {
  const crowd = await gather(CROWD, balancer.http, channel, 1, ANSWER_MS);
  const publisher = new Publisher(nodes, channel);
  await publisher.more(20);
  await happen({ crowd, publisher });
  await publisher.more(20);
  const last = await publisher.stop();
  await until('all heard the last', () => crowd.every((it) => it.last >= last), WAIT_MS).catch(() => {});
  judge(crowd, last, mayDoubt);
  const gaps = crowd.filter((it) => it.hadGap && !mayDoubt(it));
  same(gaps.map((it) => it.aroundGap), [], 'clients that were told of a gap');
  for (const it of crowd) it.close();
  return { publisher, crowd };
}

const checks = {
  async 'one-order'() {
    const { crowd } = await through('long:one', ({ publisher }) => publisher.more(100));
    const [first, ...others] = crowd.map((it) => it.story.filter((word) => typeof word === 'number'));
    for (const other of others) same(other, first.slice(-other.length), 'what another client heard');
  },
  async volatile() {
    const [channel, words] = ['long:volatile', ['kept', 'lost', 'kept, too']];
    const made = nodes.map(() => new Clients('json-websocket', packages, environment));
    const hears = async ({ http }, node) => {
      const client = await made[node].connect(http, { timeout: ANSWER_MS });
      return made[node].subscribe(client, channel);
    };
    const subscriptions = await Promise.all(nodes.map(hears));
    for (const [at, data] of words.entries()) {
      await nodes[at].api('publish', { channel, data, volatile: data === 'lost' });
      await Promise.all(subscriptions.map((it) => it.heard(at + 1)));
    }
    for (const { story } of subscriptions) {
      const heard = story.all('publication').map(({ value, offset }) => [value, offset ?? 0]);
      same(heard, [['kept', 1], ['lost', 0], ['kept, too', 2]], 'what is heard, and where it lies');
    }
    for (const node of nodes) {
      const { publications } = await node.api('history', { channel, limit: 10 });
      same(publications.map((it) => it.data), ['kept', 'kept, too'], 'what is kept');
    }
    for (const it of made) it.leave();
  },
  async 'resumed-elsewhere'() {
    const { crowd } = await through('long:cut', async ({ crowd, publisher }) => {
      for (let cut = 1; cut <= 3; cut += 1) {
        const { said } = publisher;
        holds(balancer.cut() > 0, 'nobody was cut');
        await publisher.more(10);
        // What was on its way as they were cut may have come before: who is back has returned as often, and can be cut again.
        const isBack = (it) => it.last > said && (it.polls || it.returns >= cut);
        await until(`all are back for the ${cut}. time`, () => crowd.every(isBack), WAIT_MS);
      }
    });
    holds(crowd.every((it) => it.polls || it.returns >= 3), 'not all were cut each time');
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
  async 'dead-are-told-to-leave'() {
    const made = nodes.map(() => new Clients('json-websocket', packages, environment));
    const join = async (node) => {
      const client = await made[node].connect(nodes[node].http, { timeout: ANSWER_MS });
      const subscription = await made[node].subscribe(client, 'long:leaving', { joinLeave: true });
      return { id: client.story.last('connected').client, story: subscription.story };
    };
    const watcher = await join(2);
    const told = () => Array.from(watcher.story).filter((it) => ['join', 'leave'].includes(it.name)).map((it) => `${it.name} ${it.info.client}`);
    const [stays, ...dying] = [await join(1), await join(0), await join(0)];
    const joined = [watcher, stays, ...dying].map((it) => `join ${it.id}`);
    await becomes(async () => told().sort(), joined.sort(), 'who is told to have come');
    const began = Date.now();
    const back = await nodes[0].die();
    const left = dying.map((it) => `leave ${it.id}`);
    await until('they have left', () => left.every((it) => told().includes(it)), 3 * SILENCE_S * 1000);
    holds(Date.now() - began < 2 * SILENCE_S * 1000 + 1000, `it took ${Date.now() - began} ms`);
    made[0].leave();
    await back();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    same(told().sort(), [...joined, ...left].sort(), 'what was told');
    const { members } = await nodes[2].api('presence', { channel: 'long:leaving' });
    same(members.map((it) => it.session).sort(), [watcher.id, stays.id].sort(), 'who is there');
    for (const it of made) it.leave();
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
    // A session that was handed from node to node by a letter that died with the broker is nowhere: it begins anew, and says so.
    const mayDoubt = (it) => it.kind.startsWith('socket');
    const { publisher } = await through('long:restarted', async ({ crowd, publisher }) => {
      const before = publisher.errors;
      await broker.stop('SIGKILL');
      await until('a publisher gets an error', () => publisher.errors > before);
      const { said } = publisher;
      await broker.begin();
      await someBack(crowd, said);
    }, mayDoubt);
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
    // A node that comes back later begins behind what was said until then: its clients are told of the gap alone.
    const answers = (node) => node.api('publish', { channel: 'long:elsewhere', data: 0 }).then(() => true, () => false);
    for (const node of nodes) await until('a node has its broker again', () => answers(node), WAIT_MS);
    const late = new Publisher(nodes, 'long:forgotten', 1000);
    await late.more(20);
    // Who lost its connection meanwhile may be back behind that: it begins anew, and hears what follows.
    await until('all are told', () => crowd.every((it) => it.hadGap), WAIT_MS).catch((late) => {
      const unaware = crowd.filter((it) => !it.hadGap);
      throw new Error(`${late.message}: ${unaware.map((it) => `${it.kind}, lost ${it.lost}: ${it.story.slice(-8).join(' ')}`).join(', ')}`);
    });
    await late.more(5);
    const last = 1000 + (await late.stop());
    await until('all heard the last', () => crowd.every((it) => it.last >= last && it.hadGap), WAIT_MS).catch((late) => {
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
