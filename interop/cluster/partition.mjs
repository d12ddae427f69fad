// Two nodes in network namespaces of their own, whose links to the broker are cut so that nobody is told, while their
// clients stay connected. Publishing is refused in time; later all hear what was said meanwhile, or are told of the gap.
//
//   node cluster/partition.mjs redis|nats TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check. Needs root and iproute2 for namespaces.
import { Clients } from '../centrifuge/clients.mjs';
import { environment, gather, judge, packages } from '../crowd/listener.mjs';
import { API_KEY, Site } from '../site.mjs';
import { becomes, fails, holds, runAll, same, until } from '../words.mjs';
import { Balancer } from './balancer.mjs';
import { Broker, lacks } from './brokers.mjs';
import { Networks } from './networks.mjs';
import { Publisher } from './publisher.mjs';

const [, , kind, taiwa] = process.argv;
const WAIT_MS = 30_000;
const ANSWER_MS = 5_000;
/** How long a partition lasts. */
const CUT_MS = 9_000;
/** Within which a node notices that the broker says nothing. */
const NOTICED_MS = 8_000;
/** Within which a node is back at work when it can be. */
const BACK_MS = 10_000;
const DEADLINE_S = 2;
/** After which a node that says nothing is no longer in presence. */
const SILENCE_S = 5;
const CROWD = { 'json-websocket': 6, 'protobuf-websocket': 4, 'json-stream': 2, 'json-sse': 2, 'protobuf-stream': 2, events: 4 };
/** For so long what was written during the partition may still come to the broker, if nobody took it back. */
const LATE_MS = 10_000;
/** How many publications are kept where a partition outlasts the history. */
const SHORT = 10;

const SETTINGS = `
[api]
keys = ["${API_KEY}"]

[cluster]
deadline = "${DEADLINE_S}s"
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

[[namespace]]
name = "short"
history_size = ${SHORT}
history_ttl = "1h"
recovery = "stream"
idempotency_ttl = "5m"
rights = { subscribe = "all", publish = "all", history = "all" }
`;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isUp = async (node) => (await node.metrics()).taiwa_broker_up === 1;

/** Who is in a channel, as a node knows it; nothing while it does not. */
const present = (node, channel) =>
  node.api('presence', { channel }).then(
    ({ members }) => members.map((it) => it.session).sort(),
    () => undefined,
  );

/** Publishes where the broker can't be reached: that is refused in time. */
async function refused(publish) {
  const began = Date.now();
  await fails(publish);
  const took = Date.now() - began;
  holds(took < DEADLINE_S * 1000 + 1_500, `it took ${took} ms to refuse`);
}

/** Waits until all have heard the last, and looks through their stories: each was told of so many gaps. */
async function allHeard(crowd, last, gaps) {
  await until('all heard the last', () => crowd.every((it) => it.last >= last), WAIT_MS).catch(() => {});
  judge(crowd, last);
  const told = crowd.map((it) => it.story.filter((word) => word === 'gap').length);
  holds(told.every((it) => it === gaps), `gaps that were told: ${told}`);
}

async function member(node) {
  const clients = new Clients('json-websocket', packages, environment);
  const client = await clients.connect(node.http, { timeout: ANSWER_MS });
  const subscription = await clients.subscribe(client, 'long:there', { joinLeave: true });
  return { client, id: client.story.last('connected').client, subscription };
}

const toldOf = ({ subscription }, { id }) =>
  Array.from(subscription.story).filter((it) => ['join', 'leave'].includes(it.name) && it.info.client === id).map((it) => it.name);
/** What it is told behind the word of its coming, which may have been under way when the one began to listen. */
const toldSince = (one, other) => {
  const told = toldOf(one, other);
  return told[0] === 'join' ? told.slice(1) : told;
};
const noneWasLost = (crowd) => same(crowd.filter((it) => it.lost > 0).length, 0, 'connections that were lost');

let networks;
let broker;
/** The node that is cut off, and the other one. */
let [cut, whole] = [];
let [cutAt, healedAt] = [];
/** Who listens: at the cut node and at the other; where little is kept; and those who leave the cut node meanwhile. */
let [crowd, forgetful, movers] = [];
let way;
/** Who publishes at the other node: where all is kept, and where little is. */
let [talk, short] = [];
/** Members of a channel: of the cut node, and of the other. */
let [near, far] = [];

const checks = {
  async 'they-come'() {
    const flags = ['--broker', broker.url, '--anonymous', 'true'];
    [cut, whole] = await Promise.all(networks.nodes.map((it) => Site.start(taiwa, SETTINGS, flags, 0, it)));
    way = await Balancer.before([cut]);
    const few = { 'json-websocket': 2, 'protobuf-websocket': 2, events: 2 };
    const gathered = await Promise.all([
      gather(CROWD, cut.http, 'long:news', 1, ANSWER_MS),
      gather(few, whole.http, 'long:news', 1, ANSWER_MS),
      gather(few, cut.http, 'short:news', 1, ANSWER_MS),
      gather(CROWD, way.http, 'long:news', 0.5, ANSWER_MS),
    ]);
    [crowd, forgetful, movers] = [[...gathered[0], ...gathered[1]], gathered[2], gathered[3]];
    [near, far] = [await member(cut), await member(whole)];
    await becomes(() => present(whole, 'long:there'), [near.id, far.id].sort(), 'who is there');
    [talk, short] = ['long:news', 'short:news'].map((it) => new Publisher([whole], it));
    await Promise.all([talk.more(20), short.more(20)]);
    await until('all hear', () => [...crowd, ...movers, ...forgetful].every((it) => it.last > 0));
  },
  async 'publishing-is-refused-in-time'() {
    const clients = new Clients('json-websocket', packages, environment);
    const client = await clients.connect(cut.http, { timeout: ANSWER_MS });
    networks.cut(0);
    cutAt = Date.now();
    // Somebody comes while nobody can be told, and goes.
    const passing = clients.make(cut.http, { timeout: ANSWER_MS });
    passing.connect();
    clients.prepare(passing, 'long:there').subscribe();
    await Promise.all([
      refused(cut.api('publish', { channel: 'long:refused', data: 0 })),
      refused(client.publish('long:doubtful', 1)),
    ]);
    same([client.state, passing.state], ['connected', 'connected']);
    clients.leave();
  },
  async 'it-notices'() {
    await until('it has no broker', async () => !(await isUp(cut)), cutAt + NOTICED_MS - Date.now());
    holds(await isUp(whole), 'the other node has none, too');
    await refused(cut.api('publish', { channel: 'long:refused', data: 2 }));
  },
  async 'who-moves-resumes'() {
    const { said } = talk;
    holds(way.turnTo([whole]) > 0, 'nobody moved');
    await talk.more(20);
    await until('all heard more', () => movers.every((it) => it.last > said + 10), WAIT_MS);
    holds(movers.every((it) => it.lost > 0), 'not all moved');
    holds(movers.every((it) => !it.story.includes('gap')), 'somebody was told of a gap');
  },
  async 'its-members-are-gone'() {
    await becomes(() => present(whole, 'long:there'), [far.id], 'who is there', cutAt + 2 * SILENCE_S * 1000 - Date.now());
    await becomes(async () => toldSince(far, near), ['leave'], 'what is told of its member');
  },
  async 'its-clients-stay'() {
    await Promise.all([talk.more(50), short.more(3 * SHORT), sleep(cutAt + CUT_MS - Date.now())]);
    noneWasLost([...crowd, ...forgetful]);
  },
  async 'it-is-back'() {
    networks.heal(0);
    healedAt = Date.now();
    await until('it has the broker', () => isUp(cut), BACK_MS);
    await cut.api('publish', { channel: 'long:refused', data: 3 });
  },
  async 'nothing-is-lost'() {
    await talk.more(20);
    await allHeard([...crowd, ...movers], await talk.stop(), 0);
    noneWasLost(crowd);
  },
  async 'a-gap-is-told'() {
    await short.more(20);
    await allHeard(forgetful, await short.stop(), 1);
  },
  async 'its-members-are-there-again'() {
    await becomes(() => present(whole, 'long:there'), [near.id, far.id].sort(), 'who is there', BACK_MS);
    await sleep(healedAt + LATE_MS - Date.now());
    for (const it of [cut, whole]) same(await present(it, 'long:there'), [near.id, far.id].sort(), 'who is there');
    same(toldOf(near, far).filter((it) => it === 'leave'), [], 'who was said to leave, at the cut node');
    same(toldSince(far, near), ['leave', 'join'], 'what is told of its member, at the other node');
    same([near.client.state, far.client.state], ['connected', 'connected']);
  },
  async 'both-at-once'() {
    const before = [talk, short].map((it) => it.said);
    const again = new Publisher([cut, whole], 'long:news', before[0]);
    await again.more(20);
    for (const it of [0, 1]) networks.cut(it);
    const began = Date.now();
    const { errors } = again;
    await until('both notice', async () => !(await isUp(cut)) && !(await isUp(whole)), NOTICED_MS);
    await sleep(began + CUT_MS - 2_000 - Date.now());
    for (const it of [0, 1]) networks.heal(it);
    await until('both are back', async () => (await isUp(cut)) && (await isUp(whole)), BACK_MS);
    holds(again.errors > errors, 'nobody was refused');
    await again.more(20);
    await allHeard([...crowd, ...movers], before[0] + (await again.stop()), 0);
    noneWasLost(crowd);
    await becomes(() => present(cut, 'long:there'), [near.id, far.id].sort(), 'who is there');
  },
  async 'ends-well'() {
    for (const it of [near, far]) it.client.disconnect();
    for (const it of [...crowd, ...forgetful, ...movers]) it.close();
    way.close();
    await Promise.all([cut, whole].map((it) => it.finish(/the broker can't be reached/)));
    broker.kill();
    networks.remove();
  },
};

/** Makes networks and a broker in them; says why that can't be. */
async function prepare() {
  const why = lacks(kind);
  if (why) return why;
  try {
    networks = Networks.make(2);
  } catch (error) {
    return `no network namespaces: ${error.message}`;
  }
  broker = await Broker.start(kind, networks.broker);
}

const why = await prepare();
const skipped = Object.fromEntries(Object.keys(checks).map((name) => [name, async () => why]));
await runAll(why ? skipped : checks, console.log, 60_000);
process.exit(0);
