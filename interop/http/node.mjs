// What Node's `http2` proves beyond what every client does: several WebSockets and ordinary requests on one connection, how
// they end, and what a server says of all that.
//
//   node http/node.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import http2 from 'node:http2';
import tls from 'node:tls';

import { WebSocket } from 'ws';

import { becomes, holds, runAll, same, until, within } from '../words.mjs';
import { seen, startPlain, startTls } from './site.mjs';
import { ask, dial, get, open } from './sockets.mjs';

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = http2.constants;
const STEP_MS = 10_000;
const [, , taiwa] = process.argv;
const [plain, secure] = await Promise.all([startPlain(taiwa), startTls(taiwa)]);
const toPlain = () => dial(plain.http);
const toSecure = () => dial(secure.http, { insecure: true });

async function echoes(line, text) {
  line.send(text);
  same(await line.next(), text);
}

/** How a stream ends: by END_STREAM, or by which error. */
const ended = (stream) =>
  within(new Promise((resolve) => stream.once('close', () => resolve(stream.rstCode))), STEP_MS, 'the end of the stream');

const checks = {
  async announced() {
    for (const session of [await toPlain(), await toSecure()]) {
      same(session.remoteSettings.enableConnectProtocol, true, 'SETTINGS_ENABLE_CONNECT_PROTOCOL');
      holds(session.remoteSettings.maxConcurrentStreams >= 100, `streams: ${session.remoteSettings.maxConcurrentStreams}`);
      session.close();
    }
  },
  async 'version-seen'() {
    for (const [site, session] of [[plain, await toPlain()], [secure, await toSecure()]]) {
      const two = await open(session, '/echo?n=2');
      const one = new WebSocket(`${site.ws}/echo`, { rejectUnauthorized: false });
      await within(new Promise((resolve) => one.once('open', resolve)), STEP_MS, 'a WebSocket over HTTP/1.1');
      await becomes(() => seen(site), ['/echo 1.1', '/echo 2']);
      await two.hangUp();
      one.close();
      await becomes(() => seen(site), []);
      session.close();
    }
  },
  async handshake() {
    const session = await toSecure();
    const { stream, head } = await ask(session, '/echo');
    same(head[':status'], 200);
    // RFC 8441 §5: "the Upgrade, Connection … are not used"; §5.1 has no Sec-WebSocket-Accept.
    const has = ['upgrade', 'connection', 'sec-websocket-accept', 'sec-websocket-extensions'].filter((it) => it in head);
    same(has, []);
    stream.close();
    session.close();
  },
  async 'requests-beside'() {
    const session = await toSecure();
    const lines = await Promise.all([1, 2, 3].map(() => open(session, '/echo')));
    for (const [n, line] of lines.entries()) {
      const page = await get(session, '/');
      same(page.status, 200);
      holds(page.body.startsWith('<!doctype html'), page.body.slice(0, 40));
      await echoes(line, `beside ${n}`);
    }
    same((await get(session, '/', { ':method': 'HEAD' })).body, '');
    for (const line of lines) same(await line.hangUp(4001, 'done'), { code: 4001, reason: 'done' });
    session.close();
  },
  async 'events-beside'() {
    const session = await toSecure();
    const events = session.request({ ':path': '/sse/beside', accept: 'text/event-stream' });
    let text = '';
    events.setEncoding('utf8').on('data', (it) => (text += it));
    await within(new Promise((resolve) => events.once('response', resolve)), STEP_MS, 'the stream of events');
    const line = await open(session, '/beside');
    const is = async () => {
      line.send('over one connection');
      return text.includes('data: over one connection');
    };
    await until('the event', is);
    events.close(NGHTTP2_CANCEL);
    await line.hangUp();
    session.close();
  },
  async 'end-stream'() {
    const session = await toSecure();
    const line = await open(session, '/echo');
    const end = new Promise((resolve) => line.stream.once('end', resolve));
    const code = ended(line.stream);
    same((await line.hangUp(4002, 'so')).code, 4002);
    await within(end, STEP_MS, 'END_STREAM behind the Close frame');
    same(await code, NGHTTP2_NO_ERROR, 'the error of the stream');
    session.close();
  },
  async reset() {
    const session = await toSecure();
    const [lost, other] = [await open(session, '/lost'), await open(session, '/echo')];
    await becomes(() => seen(secure), ['/echo 2', '/lost 2']);
    lost.stream.close(NGHTTP2_CANCEL);
    await becomes(() => seen(secure), ['/echo 2']);
    await echoes(other, 'still there');
    await other.hangUp();
    session.close();
  },
  async 'half-closed'() {
    const session = await toSecure();
    const line = await open(session, '/half');
    const code = ended(line.stream);
    // END_STREAM without a Close frame.
    line.stream.end();
    await code;
    await becomes(() => seen(secure), []);
    session.close();
  },
  async refused() {
    const session = await toSecure();
    const status = async (headers, path = '/echo') => {
      const { stream, head } = await ask(session, path, headers);
      stream.close();
      return head[':status'];
    };
    holds((await status({ ':protocol': 'connect-udp' })) >= 400, 'another protocol is let in');
    holds((await status({ 'sec-websocket-version': '12' })) >= 400, 'another version is let in');
    same(await status({ origin: 'https://elsewhere.example' }), 403);
    await echoes(await open(session, '/echo'), 'the connection goes on');
    session.destroy();
  },
  async paused() {
    const session = await toSecure();
    const paused = await open(session, '/echo');
    const others = await Promise.all(Array.from({ length: 50 }, () => open(session, '/echo')));
    const [size, count] = [16_384, 40];
    paused.stream.pause();
    for (let n = 0; n < count; n += 1) paused.send(new Uint8Array(size).fill(n));
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(others.map((it, n) => echoes(it, `${round} of ${n} ${'x'.repeat(4_000)}`)));
    }
    paused.stream.resume();
    for (let n = 0; n < count; n += 1) same(await paused.next(), new Uint8Array(size).fill(n));
    session.destroy();
  },
  async many() {
    const session = await toSecure();
    await becomes(() => seen(secure), []);
    const lines = await Promise.all(Array.from({ length: 100 }, () => open(session, '/many')));
    await becomes(async () => (await seen(secure)).length, 100);
    lines[0].send('to all');
    for (const it of lines.slice(1)) same(await it.next(), 'to all');
    session.destroy();
    await becomes(() => seen(secure), []);
  },
  async 'switched-off'() {
    const site = await startTls(taiwa, ['--set', 'http2=false']);
    const socket = tls.connect({ port: site.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] });
    await within(new Promise((resolve) => socket.once('secureConnect', resolve)), STEP_MS, 'TLS');
    same(socket.alpnProtocol, 'http/1.1');
    socket.destroy();
    await site.finish();
  },
  async 'websockets-off'() {
    const site = await startTls(taiwa, ['--set', 'http2_websockets=false']);
    const session = await dial(site.http, { insecure: true });
    same(session.remoteSettings.enableConnectProtocol ?? false, false);
    same((await get(session, '/')).status, 200);
    session.close();
    await site.finish();
  },
  async 'going-away'() {
    const session = await toSecure();
    const gone = new Promise((resolve) => session.once('goaway', resolve));
    const lines = await Promise.all([1, 2, 3].map(() => open(session, '/going')));
    const end = secure.finish();
    for (const line of lines) {
      const { code } = await within(line.closed, STEP_MS, 'its close');
      holds([1001, 1012].includes(code), `closed with ${code}`);
    }
    same(await within(gone, STEP_MS, 'GOAWAY'), NGHTTP2_NO_ERROR);
    await end;
  },
  'ends-well': () => plain.finish(),
};

await runAll(checks);
process.exit(0);
