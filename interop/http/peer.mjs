// Node's `http2` as the server of a taiwa client: `peer.mjs [CERT KEY]`, without them by prior knowledge. Prints
// `listening PORT`, and `closed PATH CODE REASON` at each end.
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';

import { accept } from './sockets.mjs';

const [cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
const settings = { enableConnectProtocol: true };
const server = cert ? http2.createSecureServer({ cert, key, settings }) : http2.createServer({ settings });
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
server.on('sessionError', () => {});
server.on('stream', (stream, head) => {
  stream.on('error', () => {});
  if (head[':method'] !== 'CONNECT' || head[':protocol'] !== 'websocket') return stream.respond({ ':status': 404 }, { endStream: true });
  const url = head[':path'];
  const socket = accept(stream, head);
  socket.on('error', () => {});
  socket.on('close', (code, reason) => console.log(`closed ${url} ${code} ${reason}`));
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  if (url === '/close') socket.close(4002, 'またね');
  if (url === '/big') socket.send(Buffer.alloc((1 << 20) + 1), { compress: false });
  if (url === '/ping') {
    socket.on('pong', (data) => socket.send(`pong ${data}`));
    socket.ping('taiwa');
  }
});
