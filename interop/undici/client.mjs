// npm undici (the WebSocket that node ships) as the client of a taiwa server.
import diagnostics from 'node:diagnostics_channel';

import { Agent, WebSocket, ping } from 'undici';

import { fromWhatwg, run } from '../checks.mjs';

async function connect(url, { origin, insecure = false }) {
  const dispatcher = insecure ? new Agent({ connect: { rejectUnauthorized: false } }) : undefined;
  const socket = new WebSocket(url, { dispatcher, headers: origin ? { origin } : undefined });
  const line = await fromWhatwg(socket);
  line.ping = (data) => {
    const pong = new Promise((resolve) => {
      diagnostics.subscribe('undici:websocket:pong', ({ payload, websocket }) => {
        if (websocket === socket) resolve(payload);
      });
    });
    ping(socket, data);
    return pong;
  };
  return line;
}

await run({ connect, can: { ping: true, deflate: true, headers: true, status: false } });
