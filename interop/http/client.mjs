// Node's `http2` as the client of a taiwa server: what every client proves, over WebSockets that share a connection.
import { run } from '../checks.mjs';
import { dial, open } from './sockets.mjs';

/** One connection for each origin. */
const sessions = new Map();

async function connect(url, { origin, insecure, deflate }) {
  const { protocol, host, pathname, search } = new URL(url);
  const server = `${protocol.replace('ws', 'http')}//${host}`;
  if (!sessions.has(server)) sessions.set(server, dial(server, { insecure }));
  return open(await sessions.get(server), pathname + search, { deflate, ...(origin ? { origin } : {}) });
}

await run({ connect, can: { ping: true, deflate: true, fragments: true, headers: true, status: true } });
