// Connection state recovery: what a client of npm `socket.io-client` 4 proves by being cut off again and again.
import { holds, same, until } from '../words.mjs';

const numbers = (count) => Array.from({ length: count }, (_, n) => n + 1);

export function recovering(clients, { near, far, control }) {
  const say = (n, channel = '/') => control('api', 'publish', { channel, event: 'count', data: n });
  const counted = (socket) => socket.args('count').flat();

  /** A client whose line is cut while it goes from one transport to the next notices that by heartbeats alone: too late for these checks. */
  const settled = (socket) => {
    const last = clients.kind.transports.at(-1);
    return until(`it comes by ${last}`, () => socket.connected && socket.io.engine.transport.name === last);
  };

  /** Cuts all of `near` off, does something meanwhile, and lets them come back. */
  const away = async (sockets, meanwhile) => {
    const times = sockets[0].all('connect').length + 1;
    for (const it of sockets) await settled(it);
    await control('shut');
    await until('they notice', () => sockets.every((it) => !it.connected));
    await meanwhile();
    await control('open');
    for (const it of sockets) await clients.ready(it, times);
  };

  return {
    async recovery() {
      const socket = await clients.connect(near);
      const { id } = socket;
      same(socket.recovered, false, 'the first time');
      await say(1);
      await until('the first', () => socket.heard('count').length === 1);
      for (let round = 0; round < 3; round += 1) {
        const first = 2 + 3 * round;
        await away([socket], async () => {
          for (const n of [first, first + 1]) await say(n);
        });
        same([socket.recovered, socket.id], [true, id], 'recovered, identifier');
        await say(first + 2);
        await until('all', () => socket.heard('count').length >= first + 2);
      }
      same(counted(socket), numbers(10));
    },
    async 'recovery-untold'() {
      // It never had an event before it was cut off.
      const socket = await clients.connect(near);
      await away([socket], async () => {
        for (const n of [1, 2]) await say(n);
      });
      await until('what it missed', () => socket.heard('count').length === 2);
      same([socket.recovered, counted(socket)], [true, [1, 2]]);
    },
    async 'recovery-idle'() {
      // Heartbeats alone, for as long as several of them take; then a text that is no offset comes last.
      const socket = await clients.connect(near);
      const [session] = await clients.ask(socket, 'session');
      await say(1);
      await until('the first', () => socket.heard('count').length === 1);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      await control('api', 'tell', { session, event: 'note', text: 'a text that comes last and is no offset' });
      await until('the note', () => socket.heard('note').length === 1);
      await away([socket], () => say(2));
      await until('what it missed', () => socket.heard('count').length === 2);
      same([socket.recovered, counted(socket)], [true, [1, 2]]);
    },
    async 'recovery-in-mid-flow'() {
      const socket = await clients.connect(near);
      for (let n = 1; n <= 90; n += 1) {
        await say(n);
        if (n % 30 === 20) {
          await settled(socket);
          await control('shut');
          await until('it notices', () => !socket.connected);
          await control('open');
        }
      }
      await until('all', () => socket.heard('count').length >= 90);
      same(counted(socket), numbers(90));
      holds(socket.all('connect').slice(1).every((it) => it.recovered), 'not recovered');
      holds(socket.all('connect').length > 1, 'it was never cut');
    },
    async 'recovery-rooms'() {
      // Rooms and the other namespaces go on, too; what is volatile does not wait.
      const socket = await clients.connect(near);
      const chat = clients.beside(socket, '/chat');
      await clients.ready(chat);
      const [[session], [chatting]] = [await clients.ask(socket, 'session'), await clients.ask(chat, 'session')];
      const [room, chatroom] = [`kept-${clients.name}`, `/chat:kept-${clients.name}`];
      await control('api', 'subscribe', { session, channel: room });
      await control('api', 'subscribe', { session: chatting, channel: chatroom });
      for (const channel of [room, chatroom]) await say(1, channel);
      await until('both', () => [socket, chat].every((it) => it.heard('count').length === 1));
      await away([socket, chat], async () => {
        await control('api', 'publish', { channel: room, event: 'count', data: 'volatile', volatile: true });
        for (const channel of [room, chatroom]) for (const n of [2, 3]) await say(n, channel);
      });
      for (const channel of [room, chatroom]) await say(4, channel);
      await until('all', () => [socket, chat].every((it) => it.heard('count').length >= 4));
      same([counted(socket), counted(chat)], [numbers(4), numbers(4)]);
      same([socket.recovered, chat.recovered], [true, true]);
    },
    async 'recovery-unknown'() {
      const socket = await clients.connect(near);
      await say(1);
      await until('the first', () => socket.heard('count').length === 1);
      // Somebody who goes by himself does not come back as the same one.
      const { id } = socket;
      socket.disconnect();
      await say(2);
      socket.connect();
      await clients.ready(socket, 2);
      holds(socket.recovered === false && socket.id !== id, 'it was kept although it went');
      same(counted(socket), [1]);
    },
  };
}
