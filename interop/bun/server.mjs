// Bun.serve as the server of a taiwa client: `bun server.mjs [CERT KEY]`. Prints `listening PORT`, and
// `closed PATH CODE REASON` at each end.
const [cert, key] = process.argv.slice(2).map((path) => Bun.file(path));
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  tls: cert && { cert, key },
  fetch(request, server) {
    const url = new URL(request.url).pathname;
    if (server.upgrade(request, { data: { url } })) return undefined;
    return new Response('a WebSocket server', { status: 426 });
  },
  websocket: {
    maxPayloadLength: 16 << 20,
    backpressureLimit: 16 << 20,
    perMessageDeflate: true,
    open(socket) {
      const { url } = socket.data;
      if (url === '/close') socket.close(4002, 'またね');
      if (url === '/big') socket.sendBinary(new Uint8Array((1 << 20) + 1), false);
      if (url === '/ping') socket.ping('taiwa');
    },
    message(socket, message) {
      socket.send(message, true);
    },
    pong(socket, data) {
      if (socket.data.url === '/ping') socket.send(`pong ${new TextDecoder().decode(data)}`);
    },
    close(socket, code, reason) {
      console.log(`closed ${socket.data.url} ${code} ${reason}`);
    },
  },
});
console.log(`listening ${server.port}`);
