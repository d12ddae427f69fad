// One node of the benchmark's cluster of npm's socket.io, run by node: all settings at their defaults but those that a task
// asks for. Arguments: the package of the adapter, the task, `--broker`, the URL of Redis.

import { createServer } from 'node:http';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import * as pubSub from '@socket.io/redis-adapter';
import * as streams from '@socket.io/redis-streams-adapter';

const [, , adapter, task, , url] = process.argv;
const client = createClient({ url });
await client.connect();
const options = {};
if (adapter === '@socket.io/redis-adapter') {
  const subscriber = client.duplicate();
  await subscriber.connect();
  options.adapter = pubSub.createAdapter(client, subscriber);
} else {
  options.adapter = streams.createAdapter(client);
}
// So that clients are told where they are, and may come back.
if (task === 'across-kept') options.connectionStateRecovery = {};

const http = createServer();
const io = new Server(http, options);
io.on('connection', (socket) => {
  socket.join(socket.handshake.auth.channels ?? []);
  socket.on('say', (channel, message) => socket.to(channel).emit('say', message));
});
http.listen(0, '127.0.0.1', () => console.log(`listening ${http.address().port}`));
