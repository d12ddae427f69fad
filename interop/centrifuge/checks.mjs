// What a client of npm `centrifuge` proves against taiwa, whatever its kind: the same checks run in Node and in a page.
import { fails, holds, same, until } from '../words.mjs';
import { admitted, refreshed } from './admitted.mjs';
import { Clients } from './clients.mjs';
import { ordered } from './ordered.mjs';

/** Publications with all that JSON has, and characters of every length. */
const VALUES = [
  { n: 1, text: '対話 𠮷野家 é', list: [null, true, -1.5e-7, ''], nested: { 'a"b\\': [] } },
  'only a text\nwith two lines',
  0,
  [],
  null,
  { long: '対話'.repeat(20_000) },
];

/** What holds of the channels, the site is told in TOML. */
export const NAMESPACES = `
[[namespace]]
history_size = 100
recovery = "stream"
presence = true
join_leave = true
publisher = true
rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }

[[namespace]]
name = "short"
history_size = 2
recovery = "stream"
rights = { subscribe = "all", publish = "all", history = "all" }

[[namespace]]
name = "cache"
history_size = 1
recovery = "last"
rights = { subscribe = "all", publish = "all", history = "all" }

[[namespace]]
name = "delta"
history_size = 100
recovery = "stream"
delta = true
rights = { subscribe = "all", publish = "all" }

[[namespace]]
name = "watched"
history_size = 100
recovery = "stream"
positioned = true
rights = { subscribe = "all", publish = "all" }

[[namespace]]
name = "bare"
rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }

[[namespace]]
name = "closed"
rights = { subscribe = "none", publish = "none" }
`;

function meeting(clients, { near, far }) {
  return {
    async connect() {
      const client = await clients.connect(near, { data: clients.wrap({ from: '対話' }), name: 'checks', version: '1.2' });
      const connected = client.story.last('connected');
      holds(connected.client, 'the client has no name');
      same(connected.transport, clients.kind.transport);
      client.disconnect();
      same(client.story.last('disconnected').code, 0);
    },
    async publish() {
      const [said, heard] = [await clients.connect(near), await clients.connect(far)];
      const own = await clients.subscribe(said, 'publish');
      const other = await clients.subscribe(heard, 'publish');
      for (const value of VALUES) await own.publish(clients.wrap(value));
      for (const it of [own, other]) {
        await it.heard(VALUES.length);
        same(it.values(), VALUES);
        same(it.story.all('publication').map((one) => one.offset), VALUES.map((_, at) => at + 1), 'offsets');
        const { client } = said.story.last('connected');
        holds(it.story.all('publication').every((one) => one.info.client === client), 'who said it is not told');
      }
      // Without being subscribed, too.
      await said.publish('elsewhere', clients.wrap(1));
    },
    async 'many-at-once'() {
      const client = await clients.connect(near);
      const other = await clients.connect(far);
      client.startBatching();
      const all = Array.from({ length: 100 }, (_, n) => clients.prepare(client, `many-${n}`));
      for (const it of all) it.subscribe();
      client.stopBatching();
      await Promise.all(all.map((it) => it.ready(10_000)));
      await Promise.all(all.map((it, n) => other.publish(it.channel, clients.wrap(n))));
      await Promise.all(all.map((it) => it.heard(1)));
      same(all.map((it) => it.values()), all.map((_, n) => [n]));
    },
    async history() {
      const client = await clients.connect(near);
      const it = await clients.subscribe(client, 'history');
      for (let n = 1; n <= 5; n += 1) await it.publish(clients.wrap(n));
      const ask = async (options) => {
        const { publications, offset, epoch } = await it.history(options);
        holds(epoch && offset === 5, `the log ends at ${offset} of ${epoch}`);
        return [epoch, publications.map((one) => [one.offset, clients.unwrap(one.data)])];
      };
      const [epoch, all] = await ask({ limit: 10 });
      same(all, [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
      same((await ask({}))[1], [], 'only the position');
      same((await ask({ limit: 2, since: { offset: 2, epoch } }))[1], [[3, 3], [4, 4]]);
      same((await ask({ limit: 2, reverse: true }))[1], [[5, 5], [4, 4]]);
      same((await ask({ limit: 10, reverse: true, since: { offset: 3, epoch } }))[1], [[2, 2], [1, 1]]);
      same((await fails(it.history({ limit: 1, since: { offset: 1, epoch: 'other' } }))).code, 112);
    },
    async presence() {
      const two = [await clients.connect(near), await clients.connect(far)];
      const [it] = await Promise.all(two.map((client) => clients.subscribe(client, 'presence')));
      const names = two.map((client) => client.story.last('connected').client).sort();
      const { clients: present } = await it.presence();
      same(Object.keys(present).sort(), names);
      same(Object.values(present).map((one) => one.client).sort(), names);
      same((await it.presenceStats()).numClients, 2);
      two[1].disconnect();
      await until('one of them', async () => (await it.presenceStats()).numClients === 1);
    },
    async 'join-leave'() {
      const [a, b] = [await clients.connect(near), await clients.connect(far)];
      const it = await clients.subscribe(a, 'join-leave', { joinLeave: true });
      await until('its own coming', () => it.story.all('join').length === 1);
      const other = await clients.subscribe(b, 'join-leave');
      const { client } = b.story.last('connected');
      await until('the other comes', () => it.story.last('join').info.client === client);
      other.unsubscribe();
      await until('the other goes', () => it.story.last('leave')?.info.client === client);
      same(other.story.all('join').length, 0, 'told to who did not ask');
    },
    async 'no-answer'() {
      const client = await clients.connect(near);
      const codes = async (asked) => (await fails(asked)).code;
      same(await codes(client.publish('closed:a', clients.wrap(1))), 103, 'publishing where one may not');
      same(await codes(client.publish('nowhere:a', clients.wrap(1))), 102, 'publishing where there is no channel');
      same(await codes(client.history('bare:a', { limit: 1 })), 108, 'history where there is none');
      same(await codes(client.presence('bare:a')), 108, 'presence where there is none');
      for (const [channel, code] of [['closed:b', 103], ['nowhere:b', 102]]) {
        const it = clients.prepare(client, channel);
        it.subscribe();
        await until('unsubscribed', () => it.story.last('unsubscribed'));
        same(it.story.last('unsubscribed').code, code, channel);
      }
      same(client.story.all('connecting').length, 1, 'connections');
    },
  };
}

function returning(clients, { near, far, control }) {
  /** Cuts the line of all clients of `near`, does something meanwhile, and lets them come back. */
  const away = async (client, meanwhile) => {
    const before = client.story.all('connected').length;
    await control('shut');
    await until('it notices', () => client.state !== 'connected');
    await meanwhile();
    await control('open');
    await until('it is back', () => client.story.all('connected').length > before);
  };
  const recovers = async (channel, options) => {
    const [client, other] = [await clients.connect(near), await clients.connect(far)];
    const it = await clients.subscribe(client, channel, options);
    await other.publish(channel, clients.wrap(1));
    await it.heard(1);
    for (let round = 0; round < 3; round += 1) {
      const first = 2 + 3 * round;
      await away(client, async () => {
        for (const n of [first, first + 1]) await other.publish(channel, clients.wrap(n));
      });
      await it.heard(first + 1);
      await other.publish(channel, clients.wrap(first + 2));
      await it.heard(first + 2);
      const { wasRecovering, recovered } = it.story.last('subscribed');
      same({ wasRecovering, recovered }, { wasRecovering: true, recovered: true });
    }
    same(it.values(), Array.from({ length: 10 }, (_, n) => n + 1));
    return it;
  };
  return {
    async recovery() {
      const it = await recovers('recovery', { recoverable: true });
      same(it.story.all('subscribed')[0].recoverable, true);
      same(it.story.all('subscribed')[0].wasRecovering, false);
    },
    async positioned() {
      const it = await recovers('watched:a', { positioned: true, recoverable: true });
      same(it.story.last('subscribed').positioned, true);
    },
    async 'in-mid-flow'() {
      const [client, other] = [await clients.connect(near), await clients.connect(far)];
      const it = await clients.subscribe(client, 'in-mid-flow', { recoverable: true });
      const values = Array.from({ length: 90 }, (_, n) => n);
      for (const n of values) {
        await other.publish('in-mid-flow', clients.wrap(n));
        if (n % 30 === 20) await control('cut');
      }
      await it.heard(values.length);
      same(it.values(), values);
      holds(it.story.all('subscribed').slice(1).every((one) => one.recovered), 'not recovered');
      holds(it.story.all('subscribed').length > 1, 'it was never cut');
    },
    async gap() {
      const [client, other] = [await clients.connect(near), await clients.connect(far)];
      const it = await clients.subscribe(client, 'short:gap', { recoverable: true });
      await away(client, async () => {
        for (let n = 1; n <= 5; n += 1) await other.publish('short:gap', clients.wrap(n));
      });
      await until('subscribed again', () => it.story.all('subscribed').length === 2);
      const { wasRecovering, recovered } = it.story.last('subscribed');
      same([wasRecovering, recovered], [true, false]);
      await other.publish('short:gap', clients.wrap(6));
      // What the history still has follows the gap.
      await it.heard(3);
      same(it.values(), [4, 5, 6]);
    },
    async cache() {
      const client = await clients.connect(near);
      for (const n of [1, 2, 3]) await client.publish('cache:a', clients.wrap(n));
      const it = await clients.subscribe(client, 'cache:a', { recoverable: true, since: { offset: 0, epoch: '' } });
      await it.heard(1);
      same([it.values(), it.story.last('subscribed').recovered], [[3], true]);
    },
    async delta() {
      const value = (n) => ({ text: '対話'.repeat(200), n, end: `é${n}` });
      const [client, other] = [await clients.connect(near), await clients.connect(far)];
      const it = await clients.subscribe(client, 'delta:a', { delta: 'fossil', recoverable: true });
      for (let n = 0; n < 5; n += 1) await other.publish('delta:a', clients.wrap(value(n)));
      await it.heard(5);
      await away(client, async () => {
        for (const n of [5, 6]) await other.publish('delta:a', clients.wrap(value(n)));
      });
      await it.heard(7);
      await other.publish('delta:a', clients.wrap(value(7)));
      await it.heard(8);
      same(it.values(), Array.from({ length: 8 }, (_, n) => value(n)));
      const { numDeltaPayloads } = it.deltaStats();
      holds(numDeltaPayloads >= 5, `only ${numDeltaPayloads} came as changes`);
      // Where the namespace has none, all come whole.
      const whole = await clients.subscribe(client, 'no-delta', { delta: 'fossil' });
      for (const n of [0, 1]) await other.publish('no-delta', clients.wrap(value(n)));
      await whole.heard(2);
      same(whole.values(), [value(0), value(1)]);
      same(whole.deltaStats().numDeltaPayloads, 0);
    },
  };
}

function enduring(clients, { near, far, control, pinged }) {
  return {
    async pings() {
      const { client } = pinged;
      const rest = pinged.since + 3_500 - Date.now();
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
      same(client.story.all('connecting').length, 1, 'connections');
      same(client.state, 'connected');
    },
    async restart() {
      const clientsThere = [await clients.connect(near), await clients.connect(far)];
      const [it, other] = await Promise.all(
        clientsThere.map((client) => clients.subscribe(client, 'restart', { recoverable: true })),
      );
      await it.publish(clients.wrap('before'));
      await Promise.all([it, other].map((one) => one.heard(1)));
      await control('restart');
      for (const one of [it, other]) {
        await until('subscribed again', () => one.story.all('subscribed').length >= 2);
        const { wasRecovering, recovered } = one.story.last('subscribed');
        same({ wasRecovering, recovered }, { wasRecovering: true, recovered: false }, 'another epoch');
      }
      same(clientsThere[1].story.all('connecting')[1].code, 3001, 'the server said why it went');
      await it.publish(clients.wrap('after'));
      await Promise.all([it, other].map((one) => one.heard(2)));
      same([it.values(), other.values()], [['before', 'after'], ['before', 'after']]);
    },
  };
}

/** What is proven of each kind, by name. */
export async function checksOf({ kind, packages, environment, near, far, control }) {
  const clients = new Clients(kind, packages, environment);
  // It lives while all others run, and complains if no ping comes in time.
  const resting = new Clients(kind, packages, environment);
  const pinged = { client: await resting.connect(far, { maxServerPingDelay: 1_000 }), since: Date.now() };
  const given = { near, far, control, pinged, refreshed: await refreshed(resting, { far, control }) };
  const checks = {
    ...meeting(clients, given),
    ...returning(clients, given),
    ...admitted(clients, given),
    ...ordered(clients, given),
    ...enduring(clients, given),
  };
  const tidied = Object.entries(checks).map(([name, check]) => [
    name,
    async () => {
      try {
        return await check();
      } finally {
        clients.leave();
        await control('open');
        if (name === 'pings') resting.leave();
      }
    },
  ]);
  return Object.fromEntries(tidied);
}
