// The benchmark's server of npm's socket.io, run by node: all settings at their defaults but those that a task asks for.
// The first argument is the task.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, process.argv[2] === 'resume' ? { connectionStateRecovery: {} } : {});
io.on('connection', (socket) => {
  // Who comes back has its rooms already.
  if (!socket.recovered) socket.join(socket.handshake.auth.channels ?? []);
  socket.on('say', (channel, message) => socket.to(channel).emit('say', message));
});
http.listen(0, '127.0.0.1', () => console.log(`listening ${http.address().port}`));
