// Bun's own WebSocket as the client of a taiwa server; run by bun.
import { fromWhatwg, run } from '../checks.mjs';

async function connect(url, { origin, insecure = false }) {
  const socket = new WebSocket(url, {
    headers: origin ? { origin } : undefined,
    tls: { rejectUnauthorized: !insecure },
  });
  const line = await fromWhatwg(socket);
  line.ping = (data) => {
    const pong = new Promise((resolve) => {
      socket.addEventListener('pong', ({ data: payload }) => resolve(payload), { once: true });
    });
    socket.ping(data);
    return pong;
  };
  return line;
}

await run({ connect, can: { ping: true, deflate: true, headers: true, status: false } });
