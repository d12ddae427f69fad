// Echoes with Bun.serve (µWebSockets inside), all settings at their defaults; run by bun.
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    if (server.upgrade(request)) return undefined;
    return new Response('a WebSocket server', { status: 426 });
  },
  websocket: {
    message(socket, message) {
      socket.send(message);
    },
  },
});
console.log(`listening ${server.port}`);
