// WebSockets on streams of HTTP/2 (RFC 8441): Node's own `http2` carries them, npm `ws` frames what goes over them.
import http2 from 'node:http2';

import { PerMessageDeflate, WebSocket, extension } from 'ws';

import { Line } from '../checks.mjs';
import { STEP_MS, within } from '../words.mjs';

const { extensionName } = PerMessageDeflate;
const MESSAGE_MAX = 16 << 20;

/** Opens a connection of HTTP/2, with prior knowledge unless it is `https:`; resolves once its SETTINGS have come. */
export async function dial(origin, { insecure = false, ...options } = {}) {
  const session = http2.connect(origin, { rejectUnauthorized: !insecure, ...options });
  const settled = new Promise((resolve, reject) => {
    session.once('remoteSettings', resolve).once('error', reject);
  });
  await within(settled, STEP_MS, 'the SETTINGS of the server');
  session.on('error', () => {});
  return session;
}

/** Asks by extended CONNECT; resolves to the stream and the head of the response, whatever it says. */
export async function ask(session, path, headers = {}) {
  const { protocol, host } = new URL(session.originSet?.[0] ?? `http://${session.socket.remoteAddress}:${session.socket.remotePort}`);
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': protocol.slice(0, -1),
      ':authority': host,
      ':path': path,
      'sec-websocket-version': '13',
      ...headers,
    },
    { endStream: false },
  );
  const answered = new Promise((resolve, reject) => {
    stream.once('response', resolve).once('error', reject);
    stream.once('close', () => reject(new Error(`the stream was closed with ${stream.rstCode}`)));
  });
  return { stream, head: await within(answered, STEP_MS, `the response to ${path}`) };
}

/** Opens a WebSocket on a connection; resolves to a `Line` whose `stream` and `head` are those of HTTP/2. */
export async function open(session, path, { deflate = false, ...headers } = {}) {
  const offered = deflate ? new PerMessageDeflate({ threshold: 0, isServer: false, maxPayload: 0 }) : undefined;
  const more = offered ? { 'sec-websocket-extensions': extension.format({ [extensionName]: offered.offer() }) } : {};
  const { stream, head } = await ask(session, path, { ...more, ...headers });
  if (head[':status'] !== 200) {
    stream.close();
    throw new Error(`status ${head[':status']}`);
  }
  const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: STEP_MS });
  // What it makes of a stream is the server's side unless it is told so.
  socket._isServer = false;
  const agreed = head['sec-websocket-extensions'];
  if (agreed) {
    offered.accept(extension.parse(agreed)[extensionName]);
    socket._extensions[extensionName] = offered;
  }
  const line = lineOf(socket);
  Object.assign(line, { stream, head, socket, extensions: agreed ?? '' });
  socket.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 0, skipUTF8Validation: false });
  return line;
}

/** Accepts an extended CONNECT as a server; returns the WebSocket. */
export function accept(stream, head) {
  const answer = { ':status': 200 };
  const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: STEP_MS });
  const header = head['sec-websocket-extensions'];
  const offers = header ? extension.parse(header)[extensionName] : undefined;
  if (offers) {
    const agreed = new PerMessageDeflate({ threshold: 0, isServer: true, maxPayload: MESSAGE_MAX });
    agreed.accept(offers);
    socket._extensions[extensionName] = agreed;
    answer['sec-websocket-extensions'] = extension.format({ [extensionName]: [agreed.params] });
  }
  stream.respond(answer);
  socket.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: MESSAGE_MAX, skipUTF8Validation: false });
  return socket;
}

function lineOf(socket) {
  const line = new Line();
  line.send = (data) => socket.send(data);
  line.sendFragments = (parts) => parts.forEach((part, at) => socket.send(part, { fin: at === parts.length - 1 }));
  line.close = (code, reason) => socket.close(code, reason);
  line.ping = (data) => {
    const pong = new Promise((resolve) => socket.once('pong', resolve));
    socket.ping(data);
    return pong;
  };
  socket.on('message', (data, isBinary) => line.received(isBinary ? new Uint8Array(data) : data.toString()));
  socket.on('close', (code, reason) => line.ended(code, reason.toString()));
  socket.on('error', () => {});
  return line;
}

/** Asks for something on the same connection; resolves to status, headers and the body as text. */
export async function get(session, path, headers = {}) {
  const stream = session.request({ ':path': path, ...headers });
  const answered = new Promise((resolve, reject) => stream.once('response', resolve).once('error', reject));
  const head = await within(answered, STEP_MS, `the response to ${path}`);
  let body = '';
  for await (const it of stream.setEncoding('utf8')) body += it;
  return { status: head[':status'], head, body };
}
