// What a page proves of WebTransport: a plain client's stream and datagrams, in one channel with a WebSocket, with another page and
// with npm `centrifuge`; with the hash of the server's certificate in place of any trust in it. And the example of docs/webtransport.md.
import { readFileSync } from 'node:fs';

import { Centrifuge } from 'centrifuge';
import { WebSocket } from 'ws';

import { becomes, holds, same, within } from '../words.mjs';
import { certificateHash, seen } from './site.mjs';

const STEP_MS = 10_000;

/** Runs in the page: opens a session and its stream, and keeps both under `name`. */
export const open = async ({ name, url, hash }) => {
  const value = new Uint8Array(hash);
  const session = new WebTransport(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
  await session.ready;
  const { readable, writable } = await session.createBidirectionalStream();
  const [reader, writer] = [readable.getReader(), writable.getWriter()];
  let read = new Uint8Array();
  const take = async (length) => {
    while (read.length < length) {
      const { value, done } = await reader.read();
      if (done) throw new Error('the stream has ended');
      const both = new Uint8Array(read.length + value.length);
      both.set(read);
      both.set(value, read.length);
      read = both;
    }
    const taken = read.slice(0, length);
    read = read.slice(length);
    return taken;
  };
  const say = (it) => {
    const payload = typeof it === 'string' ? new TextEncoder().encode(it) : new Uint8Array(it);
    const message = new Uint8Array(4 + payload.length);
    const header = payload.length + (typeof it === 'string' ? 0 : 0x80000000);
    new DataView(message.buffer).setUint32(0, header);
    message.set(payload, 4);
    return writer.write(message);
  };
  const hear = async () => {
    const header = new DataView((await take(4)).buffer).getUint32(0);
    const payload = await take(header & 0x7fffffff);
    return header >= 0x80000000 ? Array.from(payload) : new TextDecoder().decode(payload);
  };
  (window.sessions ??= {})[name] = { session, writer, say, hear };
};

/** Runs in the page: says all of them, and resolves to as many that are heard. */
const talk = async ({ name, messages }) => {
  const { say, hear } = window.sessions[name];
  const heard = [];
  for (const message of messages) {
    await say(message);
    heard.push(await hear());
  }
  return heard;
};

const say = ({ name, text }) => window.sessions[name].say(text);
const hear = (name) => window.sessions[name].hear();

/** Runs in the page: sends a datagram until one comes back, for any may be lost. */
const datagram = async (name) => {
  const { session } = window.sessions[name];
  const writable = session.datagrams.writable ?? session.datagrams.createWritable();
  const [reader, writer] = [session.datagrams.readable.getReader(), writable.getWriter()];
  const sending = setInterval(() => writer.write(new Uint8Array([0, 104, 105])), 100);
  try {
    return Array.from((await reader.read()).value);
  } finally {
    clearInterval(sending);
  }
};

/** Runs in the page: sends a datagram again and again, for any may be lost, until `hush`. */
const repeat = ({ name, bytes }) => {
  const { session } = window.sessions[name];
  const writer = (session.datagrams.writable ?? session.datagrams.createWritable()).getWriter();
  window.repeating = setInterval(() => writer.write(new Uint8Array(bytes)), 100);
};
const hush = () => clearInterval(window.repeating);

/** Runs in the page: resolves to the first datagram. */
const hearDatagram = async (name) => {
  const reader = window.sessions[name].session.datagrams.readable.getReader();
  return Array.from((await reader.read()).value);
};

const [, shareOfTheDocument] = readFileSync(new URL('../../docs/webtransport.md', import.meta.url), 'utf8')
  .split('```js\nexport ')
  .map((it) => it.split('```')[0]);
/** Runs in the page: takes over what the document has. */
const takeOver = new Function(`${shareOfTheDocument}\nwindow.share = share;`);

/** Runs in the page: says where its pointer is again and again, and resolves to where another's is. */
const point = ({ url, hash, pointer }) => {
  const options = { serverCertificateHashes: [{ algorithm: 'sha-256', value: new Uint8Array(hash) }] };
  return new Promise((resolve, reject) => {
    const sharing = window.share(url, options, resolve);
    sharing.then((say) => setInterval(() => say(pointer), 100), reject);
  });
};

/** Trusts any certificate: that of the site is the checks' own. */
class Trusting extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { rejectUnauthorized: false });
  }
}

/** Runs in the page: closes a session. */
const close = ({ name, code, reason }) => window.sessions[name].session.close({ closeCode: code, reason });

/** Runs in the page: writes bytes as they are, and resolves to how the session ends. */
const nonsense = async ({ name, bytes }) => {
  const { session, writer } = window.sessions[name];
  writer.write(new Uint8Array(bytes)).catch(() => {});
  const { closeCode, reason } = await session.closed;
  return { closeCode, reason };
};

/** Runs in the page: resolves to whether a session is refused. */
const isRefused = async ({ url, hash }) => {
  const value = new Uint8Array(hash);
  const session = new WebTransport(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
  session.closed.catch(() => {});
  return session.ready.then(() => false, () => true);
};

/** The checks of a browser. `newPage` opens a tab. */
export function checksOf({ site, newPage }) {
  const hash = Array.from(certificateHash);
  const url = (path) => `${site.http}${path}`;
  let tab;
  return {
    async streams() {
      tab = await newPage();
      await tab.goto(`${site.http}/`);
      await tab.evaluate(open, { name: 'echo', url: url('/echo'), hash });
      const messages = ['dialogue', '対話', '', [0, 255, 7], 'x'.repeat(100_000)];
      same(await tab.evaluate(talk, { name: 'echo', messages }), messages);
    },
    async datagrams() {
      await tab.evaluate(open, { name: 'datagrams', url: url('/echo'), hash });
      same(await tab.evaluate(datagram, 'datagrams'), [0, 104, 105]);
    },
    async channel() {
      await tab.evaluate(open, { name: 'room', url: url('/room?a=1'), hash });
      const socket = new WebSocket(`${site.ws}/room`, { rejectUnauthorized: false });
      await within(new Promise((resolve) => socket.once('open', resolve)), STEP_MS, 'open');
      await becomes(async () => (await seen(site)).filter((it) => it.startsWith('/room')), ['/room 1.1', '/room 3']);
      const heard = new Promise((resolve) => socket.once('message', (it) => resolve(it.toString())));
      await tab.evaluate(say, { name: 'room', text: 'from the page' });
      same(await within(heard, STEP_MS, 'a message'), 'from the page');
      socket.send('to the page');
      same(await within(tab.evaluate(hear, 'room'), STEP_MS, 'an answer'), 'to the page');
      socket.close();
    },
    async volatile() {
      const other = await newPage();
      await other.goto(`${site.http}/`);
      await other.evaluate(open, { name: 'hears', url: url('/lossy'), hash });
      const socket = new Trusting(`${site.ws}/lossy`);
      const text = new Promise((resolve, reject) => {
        socket.once('error', reject).once('message', (it) => resolve(it.toString()));
      });
      // Waited for last, it may fail first.
      text.catch(() => {});
      const client = new Centrifuge(`${site.ws}/connection/websocket`, { websocket: Trusting });
      const subscription = client.newSubscription('lossy');
      const publication = new Promise((resolve) => subscription.once('publication', resolve));
      subscription.subscribe();
      client.connect();
      await subscription.ready(STEP_MS);
      await tab.evaluate(open, { name: 'speaks', url: url('/lossy'), hash });
      await tab.evaluate(repeat, { name: 'speaks', bytes: [0, ...Buffer.from('対話')] });
      try {
        const datagram = await within(other.evaluate(hearDatagram, 'hears'), STEP_MS, 'a datagram');
        same(Buffer.from(datagram).toString(), '\0対話');
        same(await within(text, STEP_MS, 'a message'), '対話');
        const { data, offset } = await within(publication, STEP_MS, 'a publication');
        same([data, offset ?? 0], ['対話', 0], 'without a position');
      } finally {
        await tab.evaluate(hush);
        client.disconnect();
        socket.close();
        await other.close();
      }
      await tab.evaluate(close, { name: 'speaks', code: 0, reason: '' });
      await becomes(async () => (await seen(site)).filter((it) => it.startsWith('/lossy')), []);
    },
    async document() {
      const pages = [await newPage(), await newPage()];
      const pointers = [{ x: 1, y: 2 }, { x: 3, y: 4 }];
      for (const page of pages) {
        await page.goto(`${site.http}/`);
        await page.evaluate(takeOver);
      }
      const pointing = pages.map((page, i) => page.evaluate(point, { url: url('/pointers'), hash, pointer: pointers[i] }));
      same(await within(Promise.all(pointing), STEP_MS, "the other's pointer"), pointers.toReversed());
      for (const page of pages) await page.close();
      await becomes(async () => (await seen(site)).filter((it) => it.startsWith('/pointers')), []);
    },
    async leaves() {
      await tab.evaluate(close, { name: 'room', code: 7, reason: 'またね' });
      await becomes(async () => (await seen(site)).filter((it) => it.startsWith('/room')), []);
    },
    async nonsense() {
      await tab.evaluate(open, { name: 'wrong', url: url('/wrong'), hash });
      const ended = await tab.evaluate(nonsense, { name: 'wrong', bytes: [0, 0, 0, 2, 0xc3, 0x28] });
      same(ended, { closeCode: 1007, reason: 'the text is no UTF-8' });
    },
    async refused() {
      holds(await tab.evaluate(isRefused, { url: url('/.taiwa/nothing'), hash }), 'a path that is no channel is refused');
      holds(await tab.evaluate(isRefused, { url: url('/echo'), hash: hash.map((it) => it ^ 1) }), 'another certificate is refused');
    },
    async vanishes() {
      await tab.close();
      await becomes(() => seen(site), []);
    },
  };
}
