// npm websocket as the server of a taiwa client: `server.mjs [CERT KEY]`. Prints `listening PORT`, and
// `closed PATH CODE REASON` at each end.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import websocket from 'websocket';

const [cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
const port = cert ? https.createServer({ cert, key }) : http.createServer();
const server = new websocket.server({
  httpServer: port,
  maxReceivedFrameSize: 16 << 20,
  maxReceivedMessageSize: 16 << 20,
});
port.listen(0, '127.0.0.1', () => console.log(`listening ${port.address().port}`));
server.on('request', (request) => {
  const url = request.resource;
  const socket = request.accept(null, request.origin);
  socket.on('close', (code, reason) => console.log(`closed ${url} ${code} ${reason}`));
  socket.on('message', ({ type, utf8Data, binaryData }) => {
    if (type === 'utf8') socket.sendUTF(utf8Data);
    else socket.sendBytes(binaryData);
  });
  if (url === '/close') socket.drop(4002, 'またね');
  if (url === '/big') socket.sendBytes(Buffer.alloc((1 << 20) + 1));
  if (url === '/ping') {
    socket.on('pong', (data) => socket.sendUTF(`pong ${data}`));
    socket.ping('taiwa');
  }
});
