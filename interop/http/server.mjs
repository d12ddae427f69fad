// Node's http2, with npm ws for the frames, as the server of `taiwa connect`: WebSockets on streams of HTTP/2.
//
//   node http/server.mjs TAIWA PYTHON
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';

import { WebSocket, WebSocketServer } from 'ws';

import { runAll, same } from '../words.mjs';
import { cert, connect, has, key } from './connect.mjs';

/** What the servers saw: heads of requests, and `PATH CODE` of each WebSocket that was closed. */
const heads = [];
const closed = [];

/** Echoes on a WebSocket, or does what its path says. */
function attend(socket, path) {
  socket.on('error', () => {});
  socket.on('close', (code) => closed.push(`${path} ${code}`));
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  if (path === '/close') socket.close(4002, 'またね');
}

function answer(stream, head) {
  heads.push(head);
  stream.on('error', () => {});
  const path = head[':path'];
  if (path === '/refused') {
    stream.respond({ ':status': 403, 'content-type': 'text/plain' });
    stream.end('not you');
    return;
  }
  stream.respond({ ':status': 200, 'sec-websocket-protocol': 'b' });
  if (path === '/reset') {
    setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 50);
    return;
  }
  const socket = new WebSocket(null, undefined, {});
  socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 16 << 20, allowSynchronousEvents: true });
  attend(socket, path);
}

/** Starts a server; resolves to its port. */
async function listen(server) {
  const sockets = new WebSocketServer({ noServer: true });
  server.on('stream', answer);
  server.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (it) => attend(it, request.url));
  });
  server.on('sessionError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

const files = { cert: readFileSync(cert), key: readFileSync(key), allowHTTP1: true };
const settings = { enableConnectProtocol: true };
const taking = `wss://localhost:${await listen(http2.createSecureServer({ ...files, settings }))}`;
const other = `wss://localhost:${await listen(http2.createSecureServer(files))}`;
const cleartext = `ws://localhost:${await listen(http2.createServer({ settings }))}`;

await runAll({
  chosen: async () => {
    const { code, stdout, stderr } = await connect(`${taking}/echo?x=1`, ['-m', 'hello', '-1']);
    same([code, stdout.toString()], [0, 'hello\n']);
    has(stderr, '* HTTP/2.0: chosen by the server\n< HTTP/2.0 200 OK\n');
    has(stderr, 'subprotocol b');
    const head = heads.at(-1);
    const names = [':method', ':protocol', ':scheme', ':path', 'sec-websocket-version', 'sec-websocket-protocol'];
    same(names.map((it) => head[it]), ['CONNECT', 'websocket', 'https', '/echo?x=1', '13', 'a, b']);
    has(taking, head[':authority']);
    same(['host', 'connection', 'upgrade', 'sec-websocket-key'].filter((it) => it in head), []);
  },
  messages: async () => {
    const sent = Buffer.alloc(1 << 20, '対話').subarray(0, (1 << 20) - 4);
    const flags = ['--binary', '--delimiter', 'len32', '-1', '--message-max', '2MiB'];
    const input = Buffer.concat([Buffer.alloc(4), sent]);
    input.writeUInt32BE(sent.length);
    const { code, stdout } = await connect(`${taking}/echo`, flags, input);
    same([code, stdout.length], [0, input.length], 'code and length');
    same(stdout.equals(input), true, 'the same bytes');
  },
  lines: async () => {
    const lines = Array.from({ length: 5000 }, (_, it) => `line ${it}\n`).join('');
    const { code, stdout } = await connect(`${taking}/echo`, ['--count', '5000'], lines);
    same([code, stdout.toString() === lines], [0, true]);
  },
  close: async () => {
    const { code, stderr } = await connect(`${taking}/close`, []);
    same(code, 9);
    has(stderr, 'closed by the server with 4002: またね');
    await connect(`${taking}/ended`, ['-m', 'x', '-1']);
    same(closed.filter((it) => it.startsWith('/ended')), ['/ended 1000']);
  },
  refused: async () => {
    const { code, stderr } = await connect(`${taking}/refused`, []);
    same(code, 5);
    has(stderr, 'refused with 403 Forbidden\n');
    has(stderr, 'not you\n');
  },
  reset: async () => {
    const { code } = await connect(`${taking}/reset`, ['--stay']);
    same(code, 8);
  },
  'falls-back': async () => {
    const { code, stdout, stderr } = await connect(`${other}/echo`, ['-m', 'hello', '-1']);
    same([code, stdout.toString()], [0, 'hello\n']);
    has(stderr, '* HTTP/1.1: the server takes no WebSockets over HTTP/2\n< HTTP/1.1 101');
  },
  forced: async () => {
    same((await connect(`${other}/echo`, ['--http2', '-m', 'hello', '-1'])).code, 5);
    const { code, stderr } = await connect(`${taking}/echo`, ['--http1.1', '-m', 'hello', '-1']);
    same(code, 0);
    has(stderr, '* HTTP/1.1: asked for\n');
  },
  cleartext: async () => {
    const { code, stdout, stderr } = await connect(`${cleartext}/echo`, ['--http2', '-m', 'hello', '-1']);
    same([code, stdout.toString()], [0, 'hello\n']);
    has(stderr, '* HTTP/2.0: asked for\n');
    same(heads.at(-1)[':scheme'], 'http');
  },
});
process.exit(0);
