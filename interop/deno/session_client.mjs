// Deno's WebTransport as the client of taiwa servers; run by deno.
//
//   deno run session_client.mjs HOST PORT OTHER_PORT HASH     `taiwa serve`, and `interop_session serve` of crates/taiwa/examples
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check. Deno 2.9 never ends a stream that it writes: all
// is told apart by its length.
import { holds, runAll, same, within } from '../words.mjs';

const [host, serve, library, hex] = Deno.args;
const STEP_MS = 10_000;
const hash = Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
const [bytes, text] = [(it) => new TextEncoder().encode(it), (it) => new TextDecoder().decode(it)];

async function open(port, path, value = hash) {
  const session = new WebTransport(`https://${host}:${port}${path}`, { serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
  session.closed.catch(() => {});
  await within(session.ready, STEP_MS, `a session of ${path}`);
  return session;
}

/** Reads that many bytes. */
async function take(readable, length) {
  const taken = new Uint8Array(length);
  let count = 0;
  const reader = readable.getReader();
  while (count < length) {
    const { value, done } = await within(reader.read(), STEP_MS, `byte ${count} of ${length}`);
    holds(!done && count + value.length <= length, `${count} bytes and ${value?.length ?? 'the end'} where ${length} were due`);
    taken.set(value, count);
    count += value.length;
  }
  reader.releaseLock();
  return taken;
}

async function write(writable, what) {
  const writer = writable.getWriter();
  await writer.write(what);
  writer.releaseLock();
}

async function next(streams) {
  const reader = streams.getReader();
  const { value } = await within(reader.read(), STEP_MS, 'a stream of the server');
  reader.releaseLock();
  return value;
}

async function echoes(session, what) {
  const { readable, writable } = await session.createBidirectionalStream();
  const [heard] = await Promise.all([take(readable, what.length), write(writable, what)]);
  holds(heard.every((byte, at) => byte === what[at]), `${what.length} bytes changed`);
}

function message(it) {
  const payload = typeof it === 'string' ? bytes(it) : it;
  const said = new Uint8Array(4 + payload.length);
  new DataView(said.buffer).setUint32(0, payload.length + (typeof it === 'string' ? 0 : 0x80000000));
  said.set(payload, 4);
  return said;
}

/** Sends a datagram until one comes back, for any may be lost. */
async function datagram(session, what) {
  const writer = session.datagrams.writable.getWriter();
  const reader = session.datagrams.readable.getReader();
  const sending = setInterval(() => writer.write(what).catch(() => {}), 100);
  try {
    return (await within(reader.read(), STEP_MS, 'a datagram')).value;
  } finally {
    clearInterval(sending);
  }
}

await runAll({
  async plain() {
    const session = await open(serve, '/echo');
    const messages = ['dialogue', '対話', '', new Uint8Array([0, 255, 7]), 'x'.repeat(100_000)];
    const said = new Uint8Array(await new Blob(messages.map(message)).arrayBuffer());
    await echoes(session, said);
    session.close();
  },
  async 'plain-datagrams'() {
    const session = await open(serve, '/echo');
    // The stream that every client has.
    await session.createBidirectionalStream();
    same(await datagram(session, new Uint8Array([0, 104, 105])), new Uint8Array([0, 104, 105]));
    session.close();
  },
  async 'plain-nonsense'() {
    const session = await open(serve, '/wrong');
    const { readable, writable } = await session.createBidirectionalStream();
    await write(writable, new Uint8Array([0, 0, 0, 2, 0xc3, 0x28]));
    const ended = readable.getReader().read().then(({ done }) => done, () => true);
    holds(await within(ended, STEP_MS, 'the end of the stream'), 'the stream goes on');
    session.close();
  },
  async 'plain-origin'() {
    return 'the client sets no headers';
  },
  async bidirectional() {
    const session = await open(library, '/echo');
    for (const what of ['dialogue', '対話', 'x'.repeat(1 << 20)]) await echoes(session, bytes(what));
    session.close();
  },
  async unidirectional() {
    const session = await open(library, '/echo');
    for (const what of ['dialogue', 'x'.repeat(1 << 18)]) {
      const writing = write(await session.createUnidirectionalStream(), bytes(what));
      const readable = await next(session.incomingUnidirectionalStreams);
      same(text(await take(readable, what.length)) === what, true);
      await writing;
    }
    session.close();
  },
  async 'opened-by-the-server'() {
    const session = await open(library, '/open');
    const { readable, writable } = await next(session.incomingBidirectionalStreams);
    same(text(await take(readable, 13)), 'who is there?');
    const { done } = await within(readable.getReader().read(), STEP_MS, 'the end of the question');
    holds(done, 'the question goes on');
    await write(writable, bytes('対話\n'));
    const welcome = bytes('welcome, 対話\n');
    same(await take(await next(session.incomingUnidirectionalStreams), welcome.length), welcome);
    session.close();
  },
  async datagrams() {
    const session = await open(library, '/echo');
    same(text(await datagram(session, bytes('対話'))), '対話');
    session.close();
  },
  async many() {
    const session = await open(library, '/echo');
    // As many as are open for ever may be open at once.
    const asked = Array.from({ length: 40 }, (_, number) => echoes(session, bytes(`message ${number}`)));
    await Promise.all(asked);
    session.close();
  },
  async closes() {
    const session = await open(library, '/closes');
    await echoes(session, bytes('still here'));
    session.close({ closeCode: 4001, reason: 'またね' });
    await within(session.closed, STEP_MS, 'the end');
  },
  async closed() {
    return 'the client ends the connection, and reads of no session that it has ended';
  },
  async refused() {
    const refused = open(library, '/refused').then(() => 'in', (error) => error.message);
    const why = await refused;
    holds(why !== 'in' && !/nothing after/.test(why), why);
  },
  async untrusted() {
    const refused = open(library, '/echo', hash.map((it) => it ^ 1)).then(() => 'in', (error) => error.message);
    const why = await refused;
    holds(why !== 'in' && !/nothing after/.test(why), why);
  },
});
Deno.exit(0);
