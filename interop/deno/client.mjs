// Deno's WebSocket as the client of a taiwa server; run by deno.
import { fromWhatwg, run } from '../checks.mjs';

async function connect(url, { origin }) {
  return fromWhatwg(new WebSocket(url, { headers: origin ? { origin } : undefined }));
}

await run({ connect, can: { ping: false, deflate: false, headers: true, status: false } });
