// npm ws as the server of a taiwa client: `server.mjs [CERT KEY]`. Prints `listening PORT`, and
// `closed PATH CODE REASON` at each end.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import { WebSocketServer } from 'ws';

const [cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
const port = cert ? https.createServer({ cert, key }) : http.createServer();
const server = new WebSocketServer({
  server: port,
  maxPayload: 16 << 20,
  perMessageDeflate: { threshold: 0 },
});
port.listen(0, '127.0.0.1', () => console.log(`listening ${port.address().port}`));
server.on('connection', (socket, { url }) => {
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
