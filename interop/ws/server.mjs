// npm ws as the server of a taiwa client. Prints `listening PORT`, and `closed PATH CODE REASON` at each end.
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  maxPayload: 16 << 20,
  perMessageDeflate: { threshold: 0 },
});
server.on('listening', () => console.log(`listening ${server.address().port}`));
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
