// npm ws as the client of a taiwa server.
import WebSocket from 'ws';
import { Line, run } from '../checks.mjs';

function connect(url, { origin, insecure = false, deflate = false }) {
  const socket = new WebSocket(url, {
    origin,
    rejectUnauthorized: !insecure,
    perMessageDeflate: deflate && { threshold: 0 },
  });
  const line = new Line();
  line.send = (data) => socket.send(data);
  line.sendFragments = (parts) => {
    parts.forEach((part, at) => socket.send(part, { fin: at === parts.length - 1 }));
  };
  line.close = (code, reason) => socket.close(code, reason);
  line.ping = (data) => {
    const pong = new Promise((resolve) => socket.once('pong', resolve));
    socket.ping(data);
    return pong;
  };
  socket.on('message', (data, isBinary) => {
    line.received(isBinary ? new Uint8Array(data) : data.toString());
  });
  socket.on('close', (code, reason) => line.ended(code, reason.toString()));
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => {
      line.extensions = socket.extensions;
      resolve(line);
    });
  });
}

const can = { ping: true, deflate: true, fragments: true, headers: true, status: true };
await run({ connect, can });
