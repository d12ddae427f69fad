// What a client of npm `socket.io-client` proves against taiwa, whatever its kind: the same checks run in Node and in a page.
import { fails, holds, same, until } from '../words.mjs';
import { Clients, plain } from './clients.mjs';
import { recovering } from './recovering.mjs';

/** Arguments of events: all that JSON has, characters of every length, and bytes wherever they may stand. */
const argumentsOf = ({ bytes, isOld }) => [
  [],
  [{ n: 1, text: '対話 𠮷野家 é', list: [null, true, -1.5e-7, ''], nested: { 'a"b\\': [] } }],
  ['only a text\nwith two lines'],
  [[1, 2, 3]],
  [0, 'two', { three: [3] }, [4, [5]], null],
  [bytes(0, 255, 16)],
  [bytes(1), { deep: [bytes(2, 2), 'beside', { deeper: bytes(3, 3, 3) }] }, 'last'],
  // Version 2 takes whatever has this member for bytes, unless it is false.
  [{ _placeholder: isOld ? false : 'no', looks: 'like one' }, bytes()],
];

/** What holds of the channels, the site is told in TOML. */
export const SETTINGS = `
[dialects.socketio]
namespaces = ["/", "/chat", "/vip"]
broadcast = ["said", "said:*"]
recovery = "2m"

[[namespace]]
history_size = 1000
recovery = "stream"
presence = true
rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }

# The rooms of /chat.
[[namespace]]
name = "/chat"
history_size = 1000
recovery = "stream"
rights = { subscribe = "all", publish = "all" }

[[namespace]]
name = "closed"
rights = { subscribe = "none", publish = "none" }
`;

function meeting(clients, { near, far, control }) {
  const { isOld, bytes } = clients;
  const ARGUMENTS = argumentsOf(clients);
  return {
    async connect() {
      const socket = await clients.connect(near, { auth: { token: 'user-ada' } });
      same(await clients.ask(socket, 'who'), [{ user: 'ada', scope: null }]);
      if (!isOld) same(await clients.ask(socket, 'session'), [socket.id], 'the identifier of the session');
      const anonymous = await clients.connect(far);
      same(await clients.ask(anonymous, 'who'), [{ user: null, scope: null }]);
      holds(anonymous.id !== socket.id, 'both have the same identifier');
      socket.disconnect();
      same(socket.last('disconnect').it, 'io client disconnect');
    },
    async refused() {
      const socket = clients.make(near, { auth: { token: 'stolen' } });
      if (isOld) {
        await until('it is refused', () => socket.last('error'));
        // What the app gives as details takes the place of its words, as in servers of version 2.
        same(socket.last('error').it, { shown: 'stolen' });
      } else {
        await until('it is refused', () => socket.last('connect_error'));
        const { message, data } = socket.last('connect_error').it;
        same([message, data], ['not one of our tokens', { shown: 'stolen' }]);
          // Whoever is refused by the server asks again by hand, with something better.
        same(socket.active, false);
        socket.auth = { token: 'user-bob' };
        socket.connect();
        await clients.ready(socket);
      }
    },
    async namespaces() {
      const socket = await clients.connect(near, { auth: { token: 'user-ada' } });
      const [chat, vip] = [clients.beside(socket, '/chat', { token: 'user-bob' }), clients.beside(socket, '/vip', { token: 'user-eve' })];
      await clients.ready(chat);
      await clients.ready(vip);
      const who = async (it) => (await clients.ask(it, 'who'))[0];
      same([await who(socket), await who(chat), await who(vip)], [
        { user: 'ada', scope: null }, { user: 'bob', scope: '/chat' }, { user: 'eve', scope: '/vip' },
      ]);
      const other = await clients.connect(far, { namespace: '/chat' });
      other.emit('said', 'in the chat');
      await until('the chat hears', () => chat.heard('said').length === 1);
      socket.emit('said', 'outside');
      await until('the others hear', () => socket.heard('said').length === 1);
      same([socket, chat, vip, other].map((it) => it.args('said')), [[['outside']], [['in the chat']], [], [['in the chat']]]);
      chat.disconnect();
      same(await who(socket), { user: 'ada', scope: null }, 'the others stay');
      const unknown = clients.beside(socket, '/nowhere');
      const refusal = isOld ? 'error' : 'connect_error';
      await until('there is none', () => unknown.last(refusal));
      const told = unknown.last(refusal).it;
      same(told.message ?? told, 'Invalid namespace');
    },
    async 'own-auth'() {
      const socket = await clients.connect(near);
      const vip = clients.beside(socket, '/vip');
      const refusal = isOld ? 'error' : 'connect_error';
      await until('it is refused', () => vip.last(refusal));
      const told = vip.last(refusal).it;
      same(told.message ?? told, 'only with a token');
      same(socket.connected, true, 'the other namespace');
    },
    async events() {
      const [said, heard] = [await clients.connect(near), await clients.connect(far)];
      for (const args of ARGUMENTS) said.emit('said', ...args);
      for (const it of [said, heard]) {
        await until('all events', () => it.heard('said').length >= ARGUMENTS.length);
        same(it.args('said'), ARGUMENTS.map(plain));
      }
      said.emit('said:other', 1);
      await until('another name', () => heard.heard('said:other').length === 1);
    },
    async ordered() {
      const [said, heard] = [await clients.connect(near), await clients.connect(far)];
      for (let n = 0; n < 200; n += 1) said.emit('said', n, n % 7 ? 'text' : bytes(n));
      await until('all', () => heard.heard('said').length >= 200);
      same(heard.args('said').map(([n]) => n), Array.from({ length: 200 }, (_, n) => n));
    },
    async big() {
      const [said, heard] = [await clients.connect(near), await clients.connect(far)];
      const all = [{ long: '対話'.repeat(50_000) }, bytes(...Array(50_000).fill(7)), 'x'.repeat(500_000)];
      for (const it of all) said.emit('said', it);
      await until('all', () => heard.heard('said').length >= all.length);
      same(heard.args('said').flat().map((it) => (it.bytes ?? it.long ?? it).length), [100_000, 50_000, 500_000]);
      holds(heard.args('said')[1][0].bytes.every((it) => it === 7), 'other bytes');
      same((await clients.ask(said, 'echo', all[0]))[0], all[0]);
    },
  };
}

function asking(clients, { near, far, control }) {
  const { bytes } = clients;
  return {
    async acks() {
      const socket = await clients.connect(near);
      for (const args of argumentsOf(clients).filter((it) => it.length === 1)) {
        same(await clients.ask(socket, 'echo', ...args), plain(args));
      }
      // Several arguments are one array to the app, as their answer is to the client.
      same(await clients.ask(socket, 'echo', 1, 'two', bytes(3)), [[1, 'two', { bytes: [3] }]]);
      same(await clients.ask(socket, 'echo'), [[]]);
      const many = await Promise.all(Array.from({ length: 50 }, (_, n) => clients.ask(socket, 'echo', n)));
      same(many.flat(), Array.from({ length: 50 }, (_, n) => n));
    },
    async 'acks-refused'() {
      const socket = await clients.connect(near);
      const [none] = await clients.ask(socket, 'nothing', 1);
      holds(none?.error, `a method that nobody answers is answered ${JSON.stringify(none)}`);
      const [trial] = await clients.ask(socket, 'trial', 1);
      same(trial.error.message, 'the trial is over');
      socket.emit('nothing', 'without an acknowledgement');
      same(await clients.ask(socket, 'echo', 'still there'), ['still there']);
    },
    async timeout() {
      const socket = await clients.connect(near);
      const why = await fails(socket.timeout(100).emitWithAck('slow', 1));
      same(why.message, 'operation has timed out');
      same(await socket.timeout(5_000).emitWithAck('slow', 2), 2);
    },
    async call() {
      const socket = await clients.connect(near);
      const [session] = await clients.ask(socket, 'session');
      socket.answers = { double: (n) => [2 * n], several: () => [1, 'two'], none: () => [], binary: () => [bytes(9, 8)] };
      const call = (method, data) => control('api', 'call', { session, method, data });
      same(await call('double', 21), { data: 42 });
      socket.answers.sum = (...all) => [all.length];
      const several = { session, method: 'sum', args: [20, 21, 22] };
      same(await control('api', 'call', several), { data: 3 });
      same(await call('sum', several.args), { data: 1 });
      same(await call('several', null), { data: [1, 'two'] });
      same(await call('none', null), { data: [] });
      same(await call('binary', null), { base64: 'CQg=' });
      socket.answers.never = () => new Promise(() => {});
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => call('double', n)));
      same(answers.map((it) => it.data), Array.from({ length: 20 }, (_, n) => 2 * n));
    },
    async 'call-all'() {
      const all = await Promise.all([clients.connect(near), clients.connect(far), clients.connect(near)]);
      const sessions = (await Promise.all(all.map((it) => clients.ask(it, 'session')))).flat();
      const channel = `asked-all-${clients.name}`;
      for (const [n, session] of sessions.entries()) {
        await control('api', 'subscribe', { session, channel });
        all[n].answers = { ready: (it) => [it * n] };
      }
      const { answers, late } = await control('api', 'call_all', { in_channel: channel, method: 'ready', data: 7 });
      same(answers.map((it) => [it.session, it.data]).sort(), sessions.map((it, n) => [it, 7 * n]).sort());
      same(late, 0, 'late');
    },
    async told() {
      const socket = await clients.connect(near);
      const [session] = await clients.ask(socket, 'session');
      await control('api', 'tell', { session, event: 'note', data: { hi: [1] } });
      await control('api', 'tell', { session, text: 'without a name' });
      await control('api', 'tell', { session, event: 'list', data: [1, 'two'] });
      await control('api', 'tell', { session, event: 'several', args: [1, ['two'], { base64: 'AP8=' }], binary: true });
      await control('api', 'tell', { session, event: 'none', args: [] });
      await until('all', () => socket.heard().length === 5);
      same(socket.heard().map(({ event, args }) => [event, args]), [
        ['note', [{ hi: [1] }]], ['message', ['without a name']], ['list', [[1, 'two']]], ['several', [1, ['two'], { bytes: [0, 255] }]],
        ['none', []],
      ]);
    },
    async rooms() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const chat = clients.beside(one, '/chat');
      await clients.ready(chat);
      const sessions = (await Promise.all([one, two, chat].map((it) => clients.ask(it, 'session')))).flat();
      const say = (channel, data, more) => control('api', 'publish', { channel, event: 'news', data, ...more });
      const join = async (session, channel) => same(await control('api', 'subscribe', { session, channel }), { affected: 1 });
      const name = `room-${clients.name}`;
      await join(sessions[0], name);
      await join(sessions[2], `/chat:${name}`);
      await say(name, 1);
      await say(`/chat:${name}`, 2);
      await join(sessions[1], name);
      await say(name, 3);
      await say(name, 4, { except: [sessions[0]] });
      await join(sessions[0], `${name}-too`);
      await say(name, 5, { except_channels: [`${name}-too`] });
      await control('api', 'unsubscribe', { session: sessions[1], channel: name });
      await say(name, 6);
      await say('/', 'all');
      for (const it of [one, two]) await until('the last', () => it.args('news').some(([it]) => it === 'all'));
      same([one, chat, two].map((it) => it.args('news').flat()), [[1, 3, 6, 'all'], [2], [3, 4, 5, 'all']]);
    },
    async 'several-args'() {
      const socket = await clients.connect(near);
      await control('api', 'publish', { channel: '/', event: 'list', args: [1, 'two', [3]] });
      await control('api', 'publish', { channel: '/', event: 'list', data: [1, 'two', [3]] });
      await control('api', 'publish', { channel: '/', event: 'list', base64: 'AP8=' });
      await control('api', 'publish', { channel: '/', text: 'no name' });
      await until('all', () => socket.heard().length === 4);
      same(socket.heard().map(({ event, args }) => [event, args]), [
        ['list', [1, 'two', [3]]], ['list', [[1, 'two', [3]]]], ['list', [{ bytes: [0, 255] }]], ['message', ['no name']],
      ]);
    },
    async volatile() {
      const socket = await clients.connect(near);
      // Who polls has no line between two polls, and goes without.
      const heardOne = async () => {
        await control('api', 'publish', { channel: '/', event: 'tick', data: 1, volatile: true });
        return socket.heard('tick').length > 0;
      };
      await until('one of them', heardOne);
      same(socket.args('tick')[0], [1]);
      socket.volatile?.emit('said', 'volatile, too');
    },
    async 'by-itself'() {
      // Pages without a server program of their own.
      const [one, two] = [await clients.connect(near), await clients.connect(far, { query: { channel: 'asked' } })];
      const [here] = await clients.ask(one, 'taiwa:subscribe', 'asked');
      holds(here && !here.error, `it is answered ${JSON.stringify(here)}`);
      same((await clients.ask(two, 'taiwa:publish', 'asked', 'talk', 1, 'two'))[0]?.error, undefined);
      for (const it of [one, two]) await until('both hear', () => it.heard('talk').length === 1);
      same(two.args('talk'), [[1, 'two']]);
      const [present] = await clients.ask(one, 'taiwa:presence', 'asked');
      const sessions = (await Promise.all([one, two].map((it) => clients.ask(it, 'session')))).flat();
      holds(sessions.every((it) => JSON.stringify(present).includes(it)), `presence tells ${JSON.stringify(present)}`);
      const [history] = await clients.ask(one, 'taiwa:history', 'asked');
      holds(JSON.stringify(history).includes('"two"'), `history tells ${JSON.stringify(history)}`);
      same((await clients.ask(one, 'taiwa:unsubscribe', 'asked'))[0]?.error, undefined);
      const [closed] = await clients.ask(one, 'taiwa:subscribe', 'closed:a');
      holds(closed?.error, 'it may hear what is closed');
    },
  };
}

function parting(clients, { near, far, control }) {
  const { isOld } = clients;
  return {
    async 'sent-away'() {
      const socket = await clients.connect(near);
      const [session] = await clients.ask(socket, 'session');
      await control('api', 'disconnect', { session, code: 4001, reason: 'enough', may_return: false });
      await until('it goes', () => socket.last('disconnect'));
      same(socket.last('disconnect').it, 'io server disconnect');
      same([socket.connected, socket.all('connect').length], [false, 1]);
      const stays = await clients.connect(near);
      const chat = clients.beside(stays, '/chat', { token: 'user-bob' });
      await clients.ready(chat);
      const [connection] = await clients.ask(stays, 'session');
      same(await control('api', 'disconnect', { session: connection, scope: '/chat' }), { affected: 1 });
      await until('it is out', () => chat.last('disconnect'));
      same([chat.last('disconnect').it, chat.connected, stays.connected], ['io server disconnect', false, true]);
      same(await clients.ask(stays, 'session'), [connection]);
      chat.connect();
      await until('it is in again', () => chat.connected);
      const away = await clients.connect(near);
      away.emit('away');
      await until('it goes, too', () => away.last('disconnect'));
      same(away.last('disconnect').it, 'io server disconnect');
    },
    async 'leaves-presence'() {
      const [one, two] = [await clients.connect(near), await clients.connect(far)];
      const sessions = (await Promise.all([one, two].map((it) => clients.ask(it, 'session')))).flat();
      const present = async () => {
        const { members } = await control('api', 'presence', { channel: '/' });
        return sessions.map((session) => members.some((it) => it.session === session));
      };
      same(await present(), [true, true]);
      one.disconnect();
      await until('it is gone', async () => !(await present())[0]);
      same(await present(), [false, true]);
    },
    async reconnect() {
      const socket = await clients.connect(near);
      for (let times = 2; times <= 3; times += 1) {
        await control('shut');
        await until('it notices', () => !socket.connected);
        await control('open');
        await clients.ready(socket, times);
      }
      holds(socket.all('disconnect').every(({ it }) => /^(transport|ping)/.test(it)), 'it was not the network');
      same(await clients.ask(socket, 'echo', 'still there'), ['still there']);
    },
    async restart() {
      const sockets = [await clients.connect(near), await clients.connect(far)];
      await control('restart');
      for (const it of sockets) await clients.ready(it, 2);
      if (!isOld) same(sockets.map((it) => it.recovered), [false, false], 'taken up again');
      sockets[0].emit('said', 'after');
      await until('all hear', () => sockets.every((it) => it.heard('said').length === 1));
    },
  };
}

/** What is proven of each kind, by name. */
export async function checksOf({ kind, packages, near, far, control, hash }) {
  const clients = new Clients(kind, packages, hash);
  const given = { near, far, control };
  const checks = {
    ...meeting(clients, given),
    ...asking(clients, given),
    ...(clients.isOld ? {} : recovering(clients, given)),
    ...parting(clients, given),
  };
  // Version 2 has none.
  if (clients.isOld) delete checks.timeout;
  // The package closes a session together with its farewell, which then may not arrive; so its place is kept, as that of one who
  // was lost.
  if (hash) for (const name of ['recovery-unknown', 'leaves-presence']) delete checks[name];
  const tidied = Object.entries(checks).map(([name, check]) => [
    name,
    async () => {
      try {
        return await check();
      } finally {
        clients.leave();
        await control('open');
      }
    },
  ]);
  return Object.fromEntries(tidied);
}
