// The benchmark's server of npm's ws, run by node: all settings at their defaults but the text of its own documentation's
// broadcast, a loop over who is there.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

// Who hears which channel.
const channels = new Map();

const http = createServer();
const server = new WebSocketServer({ server: http });
server.on('connection', (socket, request) => {
  const query = new URL(request.url, 'http://localhost').searchParams;
  const mine = query.getAll('channel');
  const echo = query.get('echo') === 'true';
  for (const name of mine) {
    if (!channels.has(name)) channels.set(name, new Set());
    channels.get(name).add(socket);
  }
  // A cut connection is an error here; without a listener it would end the process.
  socket.on('error', () => {});
  socket.on('close', () => {
    for (const name of mine) {
      const members = channels.get(name);
      members.delete(socket);
      if (members.size === 0) channels.delete(name);
    }
  });
  socket.on('message', (message, isBinary) => {
    for (const client of channels.get(mine[0])) {
      if (client !== socket || echo) client.send(message, { binary: isBinary });
    }
  });
});
http.listen(0, '127.0.0.1', () => console.log(`listening ${http.address().port}`));
