// A stand-in for `taiwa serve` made of npm ws: `run.py --control` runs every client's checks against it, so that a
// failure can be told apart from a fault of the peer or of a check. One check is expected to differ
// here: bun/client/mebibyte, a random message exactly as long as the limit, which compression makes longer.
//
//   node control/server.mjs [CERT KEY]      prints one line with its URL; SIGTERM closes every socket with 1001
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import { WebSocketServer } from 'ws';

const [cert, key] = process.argv.slice(2);
const server = cert
  ? https.createServer({ cert: readFileSync(cert), key: readFileSync(key) })
  : http.createServer();
const sockets = new WebSocketServer({
  server,
  maxPayload: 1 << 20,
  perMessageDeflate: { threshold: 0 },
  verifyClient({ req, origin }, done) {
    done(!origin || new URL(origin).host === req.headers.host, 403);
  },
});
sockets.on('connection', (socket, { url }) => {
  const { pathname, searchParams } = new URL(url, 'ws://host');
  socket.channel = pathname;
  socket.hearsItself = pathname === '/echo' || searchParams.get('echo') === 'true';
  socket.on('error', () => {});
  socket.on('message', (data, binary) => {
    for (const other of sockets.clients) {
      const heard = pathname !== '/echo' && other !== socket && other.channel === pathname;
      if (heard || (other === socket && socket.hearsItself)) other.send(data, { binary });
    }
  });
});
process.on('SIGTERM', () => {
  for (const socket of sockets.clients) socket.close(1001);
  setTimeout(() => process.exit(0), 300);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`${cert ? 'https' : 'http'}://127.0.0.1:${server.address().port}/`);
});
