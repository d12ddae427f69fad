// The checks every JavaScript client runs against a taiwa server. A peer's folder hands in one function that opens a
// connection; this file imports no package.
//
//   node PEER/client.mjs WS_ORIGIN WSS_ORIGIN DOOMED_ORIGIN DOOMED_PID
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check. The doomed server is one that the check
// `going-away` may end with SIGTERM.
import assert from 'node:assert/strict';

import { within } from './words.mjs';

export { within };

export const MESSAGE_BYTES_MAX = 1 << 20;
const STEP_MS = 5_000;
const CHECK_MS = 15_000;

/** One connection as the checks see it; each peer fills it from its own events. */
export class Line {
  #messages = [];
  #waiting = [];
  #closed;

  constructor() {
    this.extensions = '';
    this.send = undefined;
    this.close = undefined;
    this.ping = undefined;
    this.closed = new Promise((resolve) => (this.#closed = resolve));
  }

  /** Called by the peer for each message: a string for text, a Uint8Array for binary. */
  received(message) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(message);
    else this.#messages.push(message);
  }

  /** Called by the peer once, with what it saw of the end. */
  ended(code, reason) {
    this.#closed({ code, reason });
  }

  next() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    const message = new Promise((resolve) => this.#waiting.push(resolve));
    const end = this.closed.then(({ code, reason }) => {
      throw new Error(`closed with ${code} "${reason}" where a message was due`);
    });
    return within(Promise.race([message, end]), STEP_MS, 'message');
  }

  async none(ms) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    assert.equal(this.#messages.length, 0, 'a message came where none was due');
  }

  async hangUp(code = 1000, reason = '') {
    this.close(code, reason);
    return within(this.closed, STEP_MS, 'close');
  }
}

/** Turns a WHATWG `WebSocket` (browser, undici, bun) into a `Line` once it is open. */
export function fromWhatwg(socket) {
  const line = new Line();
  socket.binaryType = 'arraybuffer';
  line.send = (data) => socket.send(data);
  line.close = (code, reason) => socket.close(code, reason);
  socket.addEventListener('message', ({ data }) => {
    line.received(typeof data === 'string' ? data : new Uint8Array(data));
  });
  socket.addEventListener('close', ({ code, reason }) => line.ended(code, reason));
  return new Promise((resolve, reject) => {
    socket.addEventListener('open', () => {
      line.extensions = socket.extensions;
      resolve(line);
    });
    socket.addEventListener('error', (event) => {
      reject(new Error(event.error?.message ?? event.message ?? 'refused'));
    });
  });
}

/** Bytes without a pattern that deflate or a wrong mask would leave alone. */
export function noise(length) {
  const bytes = new Uint8Array(length);
  let state = 0x9e3779b9;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export const COMPRESSIBLE = 'taiwa 対話 '.repeat(6554).slice(0, 65_536);

function same(received, sent) {
  if (typeof sent === 'string') {
    assert.equal(typeof received, 'string', 'text came back as binary');
    assert.ok(received === sent, `text of ${sent.length} changed: ${received.slice(0, 60)}`);
  } else {
    assert.notEqual(typeof received, 'string', 'binary came back as text');
    assert.ok(Buffer.compare(received, sent) === 0, `${sent.length} bytes changed`);
  }
}

const CHECKS = {
  async text({ echo }) {
    await echo('dialogue');
  },
  async japanese({ echo }) {
    await echo('対話は、二人から始まる。𠮷野家');
  },
  async empty({ echo }) {
    await echo('');
    await echo(new Uint8Array(0));
  },
  async binary({ echo }) {
    await echo(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  },
  async lengths({ echo }) {
    for (const length of [1, 125, 126, 127, 65_535, 65_536]) await echo(noise(length));
  },
  async mebibyte({ echo }) {
    await echo(noise(MESSAGE_BYTES_MAX - 1));
  },
  async fragments({ open, peer }) {
    if (!peer.can.fragments) return 'the client sends whole messages only';
    const line = await open('/echo');
    line.sendFragments(['対', '', '話', 'は']);
    same(await line.next(), '対話は');
    line.sendFragments([noise(9), new Uint8Array(0), noise(70_000)]);
    same(await line.next(), Buffer.concat([noise(9), noise(70_000)]));
    await line.hangUp();
  },
  async pipelined({ open }) {
    const line = await open('/echo');
    for (let n = 0; n < 100; n += 1) line.send(n % 2 ? `message ${n}` : noise(n));
    for (let n = 0; n < 100; n += 1) same(await line.next(), n % 2 ? `message ${n}` : noise(n));
    await line.hangUp();
  },
  async ping({ open, peer }) {
    if (!peer.can.ping) return 'the client has no ping';
    const line = await open('/echo');
    const pong = await within(line.ping(Buffer.from('taiwa')), STEP_MS, 'pong');
    assert.equal(Buffer.from(pong).toString(), 'taiwa');
    await line.hangUp();
  },
  async close({ open }) {
    const line = await open('/echo');
    const { code, reason } = await line.hangUp(4001, 'またね');
    assert.equal(code, 4001);
    // RFC 6455 §5.5.1 has the answer repeat the code; taiwa repeats the reason too.
    assert.equal(reason, 'またね');
  },
  async 'close-without-code'({ open }) {
    const line = await open('/echo');
    line.close();
    const { code } = await within(line.closed, STEP_MS, 'close');
    assert.ok([1000, 1005].includes(code), `code ${code}`);
  },
  async compression({ open, peer }) {
    if (!peer.can.deflate) return 'the client has no permessage-deflate';
    const line = await open('/echo', { deflate: true });
    assert.match(line.extensions, /permessage-deflate/);
    for (let round = 0; round < 3; round += 1) {
      for (const message of [COMPRESSIBLE, 'short', noise(70_000), '']) {
        line.send(message);
        same(await line.next(), message);
      }
    }
    await line.hangUp();
  },
  async oversize({ open }) {
    const line = await open('/echo');
    line.send(noise(MESSAGE_BYTES_MAX + 1));
    const { code } = await within(line.closed, STEP_MS, 'close');
    assert.equal(code, 1009);
  },
  async chat({ open }) {
    // A WebSocket opens before it is in its channel; what it has said is published once it is.
    const both = await open('/chat?echo=true');
    both.send('both');
    same(await both.next(), 'both');
    const a = await open('/chat');
    a.send('a');
    same(await both.next(), 'a');
    const b = await open('/chat');
    b.send('b');
    for (const listener of [a, both]) same(await listener.next(), 'b');
    a.send('こんにちは');
    a.send(noise(300));
    for (const listener of [b, both]) {
      same(await listener.next(), 'こんにちは');
      same(await listener.next(), noise(300));
    }
    both.send('echo');
    for (const listener of [a, b, both]) same(await listener.next(), 'echo');
    b.send(new Uint8Array(0));
    for (const listener of [a, both]) same(await listener.next(), new Uint8Array(0));
    for (const line of [a, b, both]) await line.none(50);
    for (const line of [a, b, both]) await line.hangUp();
  },
  async tls({ peer, origins }) {
    const line = await peer.connect(`${origins.wss}/echo`, { insecure: true });
    for (const message of ['over TLS', noise(200_000)]) {
      line.send(message);
      same(await line.next(), message);
    }
    assert.equal((await line.hangUp(4001, 'tls')).code, 4001);
  },
  async origin({ open, peer, origins }) {
    if (!peer.can.headers) return 'the client sets no headers';
    const own = await open('/echo', { origin: origins.ws.replace('ws', 'http') });
    await own.hangUp();
    const refusal = await open('/echo', { origin: 'http://elsewhere.example' }).then(
      () => assert.fail('a foreign Origin was let in'),
      (error) => error,
    );
    assert.ok(!/nothing after/.test(refusal.message), refusal.message);
    if (peer.can.status) assert.match(refusal.message, /\b403\b/);
  },
  async 'going-away'({ peer, origins, doomedPid }) {
    const line = await peer.connect(`${origins.doomed}/echo`, {});
    line.send('still here');
    same(await line.next(), 'still here');
    process.kill(doomedPid, 'SIGTERM');
    const { code } = await within(line.closed, STEP_MS, 'close');
    assert.ok([1001, 1012].includes(code), `closed with ${code}`);
  },
};

/** Runs every check with `peer`: `{ connect(url, { origin, insecure, deflate }), can }`. */
export async function run(peer) {
  const [ws, wss, doomed, pid] = process.argv.slice(2);
  const origins = { ws, wss, doomed };
  const open = (path, options = {}) =>
    within(peer.connect(ws + path, options), STEP_MS, `opening ${path}`);
  const echo = async (message) => {
    const line = await open('/echo');
    line.send(message);
    same(await line.next(), message);
    await line.hangUp();
  };
  for (const [name, check] of Object.entries(CHECKS)) {
    try {
      const given = { peer, open, echo, origins, doomedPid: Number(pid) };
      const why = await within(check(given), CHECK_MS, name);
      console.log(why ? `skip ${name}: ${why}` : `ok ${name}`);
    } catch (error) {
      console.log(`FAIL ${name}: ${String(error.message).replaceAll('\n', ' | ')}`);
    }
  }
  process.exit(0);
}
