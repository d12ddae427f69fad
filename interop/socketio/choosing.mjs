// Which transport a page's client takes where there is WebTransport, where it does not come through, and where it is off; and
// that it meets a WebSocket in a channel.
import { holds, same, until, within } from '../words.mjs';
import { plain } from './clients.mjs';

const STEP_MS = 10_000;
const ALL = ['polling', 'websocket', 'webtransport'];

/** `near` brings everything, `tcp` no datagrams, and at `off` the server has none for these clients. */
export function choosing(io, { near, tcp, off, hash }) {
  const known = [{ algorithm: 'sha-256', value: new Uint8Array(hash) }];
  const open = (http, transports, webtransport = {}) =>
    io(http, {
      transports, forceNew: true, reconnection: false,
      transportOptions: { webtransport: { serverCertificateHashes: known, ...webtransport } },
    });
  const transport = (socket) => socket.io.engine?.transport?.name;
  const upgrades = async (http) => {
    const response = await fetch(`${http}/socket.io/?EIO=4&transport=polling`);
    return JSON.parse((await response.text()).slice(1)).upgrades;
  };

  /** Lets a client come in, settle, and talk; resolves to the transport where it stays. */
  const settles = async (http, transports, on) => {
    const socket = open(http, transports);
    try {
      const heard = [];
      socket.on('said', (...args) => heard.push(plain(args[0])));
      await until('connected', () => socket.connected);
      await until(`one of ${on}`, () => on.includes(transport(socket)));
      socket.emit('said', 'a text');
      socket.emit('said', new Uint8Array([1, 2]));
      await until('both', () => heard.length === 2);
      same(heard, ['a text', { bytes: [1, 2] }]);
      return transport(socket);
    } finally {
      socket.disconnect();
    }
  };

  return {
    async announced() {
      same(await upgrades(near), ['websocket', 'webtransport']);
      same(await upgrades(off), ['websocket']);
    },
    async everything() {
      // Both are tried side by side, and whichever answers first counts.
      await settles(near, ALL, ['websocket', 'webtransport']);
      same(await settles(near, ['polling', 'webtransport'], ['webtransport']), 'webtransport');
    },
    async 'without-datagrams'() {
      same(await settles(tcp, ALL, ['websocket']), 'websocket');
    },
    async off() {
      same(await settles(off, ALL, ['websocket']), 'websocket');
      const socket = open(off, ['webtransport']);
      let why;
      socket.on('connect_error', (it) => (why = it));
      await until('it is refused', () => why);
      same([why.message, socket.connected], ['webtransport error', false]);
    },
    async together() {
      const socket = open(near, ['webtransport'], { path: '/socket.io/?channel=meeting' });
      const heard = [];
      socket.onAny((event, ...args) => heard.push([event, plain(args[0])]));
      await until('connected', () => socket.connected);
      const plainSocket = new WebSocket(`${near.replace('http', 'ws')}/meeting`);
      plainSocket.binaryType = 'arraybuffer';
      const said = [];
      plainSocket.onmessage = ({ data }) => said.push(plain(data));
      await within(new Promise((resolve) => (plainSocket.onopen = resolve)), STEP_MS, 'a WebSocket');
      const ask = async (...all) => {
        const answer = await socket.timeout(STEP_MS).emitWithAck(...all);
        holds(!answer?.error, `it is answered ${JSON.stringify(answer)}`);
        return answer;
      };
      await until('both are there', async () => (await ask('taiwa:presence', 'meeting')).members.length === 2);
      await ask('taiwa:publish', 'meeting', 'talk', 'from the session');
      await ask('taiwa:publish', 'meeting', 'talk', new Uint8Array([0, 255]));
      await until('the WebSocket hears', () => said.length === 2);
      same(said, ['"from the session"', { bytes: [0, 255] }]);
      plainSocket.send('from the WebSocket');
      plainSocket.send(new Uint8Array([7]));
      await until('the session hears', () => heard.filter(([event]) => event === 'message').length === 2);
      same(heard.filter(([event]) => event === 'message').map(([, it]) => it), ['from the WebSocket', { bytes: [7] }]);
      plainSocket.close();
      socket.disconnect();
    },
    async leaves() {
      const [one, two] = [1, 2].map(() => open(near, ['webtransport'], { path: '/socket.io/?channel=leaving' }));
      await until('both are connected', () => one.connected && two.connected);
      const present = async () => (await two.timeout(STEP_MS).emitWithAck('taiwa:presence', 'leaving')).members.length;
      await until('both are there', async () => (await present()) === 2);
      one.disconnect();
      await until('one is gone', async () => (await present()) === 1);
      two.disconnect();
    },
    async unknown() {
      // Who knocks by a name that nobody has.
      const session = new WebTransport(`${near}/socket.io/`, { serverCertificateHashes: known });
      await session.ready;
      const { writable } = await session.createBidirectionalStream();
      const packet = new TextEncoder().encode('0{"sid":"nobody"}');
      const writer = writable.getWriter();
      writer.write(new Uint8Array([packet.length, ...packet])).catch(() => {});
      const { closeCode, reason } = await within(session.closed, STEP_MS, 'its end');
      same([closeCode, JSON.parse(reason)], [4400, { code: 1, message: 'Session ID unknown' }]);
    },
  };
}

/** What a page of an origin that is not let in meets. */
export function strange(io, { near, hash }) {
  return {
    async 'other-origin'() {
      const value = new Uint8Array(hash);
      const webtransport = { serverCertificateHashes: [{ algorithm: 'sha-256', value }] };
      const socket = io(near, { transports: ['webtransport'], reconnection: false, transportOptions: { webtransport } });
      let why;
      socket.on('connect_error', (it) => (why = it));
      await until('it is refused', () => why);
      same([why.message, socket.connected], ['webtransport error', false]);
    },
  };
}
