// What a client of npm `phoenix` proves against taiwa, whatever its kind: the same checks run in Node and in a page.
import { becomes, fails, holds, same, until, within } from '../words.mjs';
import { Clients } from './clients.mjs';
import { channelThatResumes } from './resume.mjs';

/** Payloads with all that JSON has, and characters of every length. */
const VALUES = [
  { n: 1, text: '対話 𠮷野家 é\n"', list: [null, true, -1.5e-7, ''], nested: { 'a"b\\': [] } },
  { empty: {} },
  { long: '対話'.repeat(20_000) },
];

function meeting(clients, { near, far }) {
  return {
    async connect() {
      const socket = await clients.connect(near, { params: { user: 'ada', vsn: 'mine' } });
      const rtt = await new Promise((resolve) => socket.ping(resolve));
      holds(rtt >= 0, 'no heartbeat came back');
      await new Promise((resolve) => socket.disconnect(resolve));
      same(socket.story[0], 'open');
      holds(!socket.isConnected(), 'still connected');
    },
    async join() {
      const socket = await clients.connect(near);
      const channel = await clients.join(socket, 'asked:a', { name: 'Ada' });
      same(channel.replies, [{ hello: 'Ada' }]);
    },
    async 'refused-join'() {
      const socket = await clients.connect(near);
      const why = async (topic) => {
        const channel = clients.prepare(socket, topic);
        const error = await fails(clients.joined(channel));
        channel.leave();
        return error;
      };
      same(await why('asked:closed'), { reason: 'not you', action: 'ignore' }, 'what the app says');
      holds((await why('asked:crash')).reason, 'a join that crashed says nothing');
      same(await why('closed:a'), { reason: 'this is not allowed' });
      same(await why('nowhere:a'), { reason: 'unmatched topic' });
      same(await why('phoenix'), { reason: 'unmatched topic' });
    },
    async broadcast() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const [a, b] = [await clients.join(one, 'broadcast'), await clients.join(two, 'broadcast')];
      for (const value of VALUES) same(await clients.push(a, 'said', value), {});
      for (const it of [a, b]) await becomes(() => it.heard, VALUES, `what ${it === a ? 'it' : 'the other'} heard`);
    },
    async 'broadcast-from'() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const events = ['typing', 'said'];
      const [a, b] = [await clients.join(one, 'from', {}, events), await clients.join(two, 'from', {}, events)];
      await clients.push(a, 'typing', { by: 'a' });
      await clients.push(a, 'said', { by: 'a' });
      await becomes(() => b.heard, [{ by: 'a' }, { by: 'a' }]);
      await becomes(() => a.heard, [{ by: 'a' }], 'its own');
    },
    async binary() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const [a, b] = [await clients.join(one, 'binary'), await clients.join(two, 'binary')];
      const bytes = Uint8Array.from({ length: 70_000 }, (_, n) => n % 256);
      await clients.push(a, 'said', bytes.buffer);
      await until('the bytes', () => b.heard.length === 1);
      same(bytesOf(b.heard[0]), [...bytes], 'bytes');
      same(b.heard[0] instanceof ArrayBuffer, !clients.isPolling, 'a binary frame');
      same(bytesOf(await clients.push(a, 'call:bytes', Uint8Array.of(1).buffer)), [1, 2, 3, 255], 'an answer');
    },
    async calls() {
      const socket = await clients.connect(near);
      const channel = await clients.join(socket, 'calls');
      for (const value of VALUES) same(await clients.push(channel, 'call:echo', value), value);
      same(await fails(clients.push(channel, 'call:trial', {})), { reason: 'the trial is over', code: 1402, days: 30 });
      same(await fails(clients.push(channel, 'call:nothing', {})), { reason: 'nobody answers this' });
      same(channel.heard, [], 'calls are not broadcast');
    },
    async 'refused-push'() {
      const socket = await clients.connect(near);
      const channel = await clients.join(socket, 'read:a');
      same(await fails(clients.push(channel, 'said', {})), { reason: 'this is not allowed' });
      holds((await fails(clients.push(channel, 'phx_close', {}))).reason, 'an event of the protocol');
      same([channel.state, channel.ends], ['joined', []]);
    },
    async leave() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const [a, b] = [await clients.join(one, 'leave'), await clients.join(two, 'leave')];
      const closed = new Promise((resolve) => one.onMessage(({ event }) => event === 'phx_close' && resolve()));
      a.leave();
      await within(closed, 5_000, 'the end of the channel');
      same([a.state, a.ends], ['closed', ['closed']]);
      await clients.push(b, 'said', { n: 1 });
      const again = await clients.join(one, 'leave');
      await clients.push(b, 'said', { n: 2 });
      await becomes(() => again.heard, [{ n: 2 }]);
      same(a.heard, []);
    },
    async 'joins-twice'() {
      const socket = await clients.connect(near);
      const first = await clients.join(socket, 'twice');
      const second = await clients.join(socket, 'twice');
      await until('the first is closed', () => first.state === 'closed');
      await clients.push(second, 'said', { n: 1 });
      await becomes(() => second.heard, [{ n: 1 }]);
      same([second.state, first.heard], ['joined', []]);
    },
    async 'pushes-before-joined'() {
      const socket = clients.make(near);
      const channel = clients.prepare(socket, 'early');
      channel.join();
      const answers = [1, 2, 3].map((n) => clients.push(channel, 'said', { n }));
      socket.connect();
      same(await Promise.all(answers), [{}, {}, {}]);
      await becomes(() => channel.heard, [{ n: 1 }, { n: 2 }, { n: 3 }]);
    },
    async 'many-at-once'() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const [a, b] = [await clients.join(one, 'many'), await clients.join(two, 'many')];
      const all = Array.from({ length: 250 }, (_, n) => ({ n }));
      await Promise.all(all.map((it) => clients.push(a, 'said', it)));
      await becomes(() => b.heard, all);
    },
    async '101-channels'() {
      const socket = await clients.connect(near);
      const topics = Array.from({ length: 100 }, (_, n) => `bare:${n}`);
      await Promise.all(topics.map((topic) => clients.join(socket, topic)));
      const channel = clients.prepare(socket, 'bare:100');
      same(await fails(clients.joined(channel)), { reason: 'too many channels joined' });
    },
  };
}

/** The bytes of a payload, as they come in a frame or in a text. */
function bytesOf(payload) {
  if (payload instanceof ArrayBuffer) return [...new Uint8Array(payload)];
  return [...atob(payload.base64)].map((it) => it.charCodeAt(0));
}

function present(clients, { near, far }) {
  const { Presence } = clients.phoenix;
  const keys = (presence) => presence.list((key, { metas }) => `${key} ${metas.length}`).sort();
  return {
    async presence() {
      const [one, two, three] = [
        await clients.connect(near, { params: { user: 'ada' } }),
        await clients.connect(far, { params: { user: 'bob' } }),
        await clients.connect(far, { params: { user: 'bob' } }),
      ];
      const channel = clients.prepare(one, 'asked:presence', { seat: 1 });
      const presence = new Presence(channel);
      const story = [];
      presence.onJoin((key, current) => story.push(`${key} comes${current ? ' again' : ''}`));
      presence.onLeave((key, current) => story.push(`${key} goes${current.metas.length ? ' not all' : ''}`));
      await clients.joined(channel);
      await becomes(() => keys(presence), ['ada 1']);
      same(presence.list()[0].metas[0].seat, 1, 'what others see of it');
      const b = await clients.join(two, 'asked:presence', { seat: 2 });
      const c = await clients.join(three, 'asked:presence', { seat: 3 });
      await becomes(() => keys(presence), ['ada 1', 'bob 2']);
      same(presence.state.bob.metas.map((it) => it.seat), [2, 3]);
      const refs = presence.list().flatMap((it) => it.metas.map((meta) => meta.phx_ref));
      same(new Set(refs).size, 3, 'references');
      b.leave();
      await becomes(() => keys(presence), ['ada 1', 'bob 1']);
      three.disconnect();
      await becomes(() => keys(presence), ['ada 1']);
      same(c.ends.length > 0, true);
      same(story.filter((it) => it.startsWith('bob')), ['bob comes', 'bob comes again', 'bob goes not all', 'bob goes']);
    },
    async 'presence-after-rejoin'() {
      const [one, two] = [
        await clients.connect(near, { params: { user: 'ada' } }),
        await clients.connect(far, { params: { user: 'bob' } }),
      ];
      const channel = clients.prepare(one, 'again');
      const presence = new Presence(channel);
      await clients.joined(channel);
      const other = await clients.join(two, 'again');
      await becomes(() => keys(presence), ['ada 1', 'bob 1']);
      one.conn.close(3000);
      other.leave();
      await until('it is back', () => channel.replies.length === 2);
      await becomes(() => keys(presence), ['ada 1']);
    },
  };
}

/** A channel by the lines that docs/coming-from-phoenix.md has. */
function remembering(socket, topic, clients) {
  return clients.watch(channelThatResumes(socket, topic));
}

function returning(clients, { near, far, control }) {
  const options = { params: { positions: true } };
  const numbers = (channel) => channel.heard.map(({ n }) => n);
  /** Cuts its lines until it notices: a browser asks a poll again by itself whose line is gone, and what its answer carried is lost. */
  const interrupt = async (channel) => {
    await control('shut');
    await until('it notices', () => channel.state !== 'joined');
    await control('open');
  };
  return {
    async resume() {
      const [one, two] = [await clients.connect(near, options), await clients.connect(far)];
      const channel = remembering(one, 'resume', clients);
      await clients.joined(channel);
      const other = await clients.join(two, 'resume');
      await clients.push(other, 'said', { n: 1 });
      await becomes(() => numbers(channel), [1]);
      for (const first of [2, 5]) {
        const joins = channel.replies.length;
        await control('shut');
        await until('it notices', () => channel.state !== 'joined');
        for (const n of [first, first + 1]) await clients.push(other, 'said', { n });
        await control('open');
        await until('it is back', () => channel.replies.length > joins);
        same(channel.replies.at(-1).recovered, true);
        await clients.push(other, 'said', { n: first + 2 });
        await until('all', () => numbers(channel).length === first + 2);
      }
      same(numbers(channel), [1, 2, 3, 4, 5, 6, 7]);
    },
    async gap() {
      const [one, two] = [await clients.connect(near, options), await clients.connect(far)];
      const channel = remembering(one, 'short:gap', clients);
      await clients.joined(channel);
      const other = await clients.join(two, 'short:gap');
      await control('shut');
      await until('it notices', () => channel.state !== 'joined');
      for (const n of [1, 2, 3, 4, 5]) await clients.push(other, 'said', { n });
      await control('open');
      await until('it is back', () => channel.replies.length === 2);
      same(channel.replies[1].recovered, false);
      await clients.push(other, 'said', { n: 6 });
      await becomes(() => numbers(channel), [4, 5, 6]);
    },
    async 'last-value'() {
      for (const n of [1, 2]) await control('api', 'publish', { channel: 'value:a', event: 'said', data: { n } });
      const channel = await clients.join(await clients.connect(near), 'value:a');
      await becomes(() => numbers(channel), [2]);
      same(channel.replies[0].recovered, undefined, 'nobody asked');
    },
    async 'in-mid-flow'() {
      const [one, two] = [await clients.connect(near, options), await clients.connect(far)];
      const channel = remembering(one, 'in-mid-flow', clients);
      await clients.joined(channel);
      const other = await clients.join(two, 'in-mid-flow');
      const all = Array.from({ length: 90 }, (_, n) => n);
      for (const n of all) {
        await clients.push(other, 'said', { n });
        if (n % 30 === 20) await interrupt(channel);
      }
      await becomes(() => numbers(channel), all);
      holds(channel.replies.slice(1).every((it) => it.recovered), 'not recovered');
      holds(channel.replies.length > 1, 'it was never cut');
    },
    async 'comes-back'() {
      const socket = await clients.connect(near);
      const channel = await clients.join(socket, 'back');
      await interrupt(channel);
      await until('it is back', () => channel.replies.length === 2);
      await clients.push(channel, 'said', { n: 1 });
      await becomes(() => numbers(channel), [1]);
    },
  };
}

function admitted(clients, { near, far, control }) {
  return {
    async token() {
      const socket = await clients.connect(near, { authToken: 'ada-token_1.2' });
      const channel = await clients.join(socket, 'token');
      const sessions = await control('api', 'sessions', { user: 'ada-token_1.2' });
      same(sessions.sessions.length, 1, 'sessions of that user');
      same(channel.state, 'joined');
    },
    async 'refused-connect'() {
      const socket = clients.make(near, { params: { refuse: 'forbidden' } });
      socket.connect();
      if (clients.isPolling) {
        await until('it is refused', () => socket.story.includes(1008));
        holds(!socket.isConnected(), 'it is in');
      } else {
        // From 1000 npm's client came back no more, until it did in 1.8; a page says so itself.
        socket.onClose(({ code }) => code === 1000 && socket.disconnect());
        await until('it is refused', () => socket.story.includes(1000));
        await new Promise((resolve) => setTimeout(resolve, 300));
        same(socket.story, ['open', 1000], 'it came back');
      }
      socket.disconnect();
    },
    async 'api-publish'() {
      const socket = await clients.connect(near);
      const channel = await clients.join(socket, 'api', {}, ['said', 'message']);
      await control('api', 'publish', { channel: 'api', data: { n: 1 } });
      await control('api', 'publish', { channel: 'api', data: { n: 2 }, event: 'said' });
      await control('api', 'publish', { channel: 'api', data: { n: 3 }, event: 'phx_close' });
      await becomes(() => channel.heard, [{ n: 1 }, { n: 2 }, { n: 3 }]);
      same(channel.state, 'joined');
    },
    async 'api-tell'() {
      const socket = await clients.connect(near, { params: { user: 'told' } });
      await clients.join(socket, 'tell');
      const told = [];
      socket.onMessage(({ topic, payload }) => topic === 'phoenix' && payload.word && told.push(payload));
      await control('api', 'tell', { user: 'told', data: { word: '対話' } });
      await becomes(() => told, [{ word: '対話' }]);
    },
    async 'api-unsubscribe'() {
      const socket = await clients.connect(near, { params: { user: 'closed' } });
      const channel = await clients.join(socket, 'unsubscribe');
      await control('api', 'unsubscribe', { user: 'closed', channel: 'unsubscribe' });
      await until('it is closed', () => channel.state === 'closed');
      await new Promise((resolve) => setTimeout(resolve, 200));
      same([channel.replies.length, channel.ends], [1, ['closed']], 'it joined again');
    },
    async 'joins-again-when-rights-end'() {
      const socket = await clients.connect(near);
      const channel = await clients.join(socket, 'asked:short', { name: 'Ada' });
      await until('it joins again', () => channel.replies.length >= 2, 15_000);
      same([channel.ends[0], channel.replies[1]], ['expired', { hello: 'Ada' }]);
    },
    async 'sent-away-for-good'() {
      const socket = await clients.connect(near, { params: { user: 'eve' } });
      socket.onClose(({ code }) => code === 1000 && socket.disconnect());
      await clients.join(socket, 'sent-away');
      await control('api', 'disconnect', { user: 'eve', code: 4003, reason: 'banned', may_return: false });
      // Between two polls nobody can be told; the next one finds no session.
      const isTold = () => socket.story.some((it) => it === 1008 || it === 3410);
      if (clients.isPolling) return void (await until('it is told', isTold));
      await until('it is told', () => socket.story.includes(1000));
      await new Promise((resolve) => setTimeout(resolve, 300));
      same(socket.story, ['open', 1000], 'it came back');
    },
    async 'sent-away-to-come-back'() {
      const socket = await clients.connect(near, { params: { user: 'back' } });
      const channel = await clients.join(socket, 'sent-back');
      await control('api', 'disconnect', { user: 'back', code: 4001, reason: 'elsewhere', may_return: true });
      await until('it is back', () => channel.replies.length === 2);
      same(socket.story.find((it) => it !== 'open'), clients.isPolling ? 3410 : 4001);
    },
  };
}

function enduring(clients, { near, far, control, resting }) {
  const numbers = (channel) => channel.heard.map(({ n }) => n);
  const survives = async (name, how) => {
    const sockets = [await clients.connect(near, { params: { positions: true } }), await clients.connect(far)];
    const channel = remembering(sockets[0], name, clients);
    await clients.joined(channel);
    const other = await clients.join(sockets[1], name);
    await clients.push(other, 'said', { n: 1 });
    await becomes(() => numbers(channel), [1]);
    await control(how);
    for (const it of [channel, other]) await until('it is back', () => it.replies.length >= 2 && it.state === 'joined', 20_000);
    same(channel.replies.at(-1).recovered, false, 'another epoch');
    await clients.push(other, 'said', { n: 2 });
    await becomes(() => numbers(channel), [1, 2]);
  };
  return {
    async heartbeats() {
      const rest = resting.since + 4_500 - Date.now();
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
      same(resting.socket.story.filter((it) => it === 'open').length, 1, 'connections');
      holds(resting.socket.isConnected(), 'it was closed');
    },
    restart: () => survives('restart', 'restart'),
    killed: () => survives('killed', 'die'),
  };
}

/** What is proven of each kind, by name. */
export async function checksOf({ kind, phoenix, environment, near, far, control }) {
  const clients = new Clients(kind, phoenix, environment);
  // It rests while all others run, longer than the server endures silence.
  const asleep = new Clients(kind, phoenix, environment);
  const resting = { socket: await asleep.connect(far), since: Date.now() };
  const given = { near, far, control, resting };
  const checks = {
    ...meeting(clients, given),
    ...present(clients, given),
    ...admitted(clients, given),
    ...returning(clients, given),
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
        if (name === 'heartbeats') asleep.leave();
      }
    },
  ]);
  return Object.fromEntries(tidied);
}
