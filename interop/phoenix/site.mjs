// The servers of the Phoenix checks, one for each kind of client, and what the checks may do to them.
import net from 'node:net';

import { API_KEY, Proxy, Site, controls } from '../site.mjs';
import { startBackend } from './backend.mjs';

/** Ways in which npm `phoenix` talks to us; with `fallback` no WebSocket reaches the server. */
export const KINDS = ['websocket', 'longpoll', 'fallback'];

const RIGHTS = 'rights = { subscribe = "all", publish = "all", presence = "all", history = "all" }';

const NAMESPACES = `
[[namespace]]
history_size = 200
recovery = "stream"
presence = true
join_leave = true
${RIGHTS}

[[namespace]]
name = "short"
history_size = 2
recovery = "stream"
${RIGHTS}

[[namespace]]
name = "value"
history_size = 1
recovery = "last"
${RIGHTS}

[[namespace]]
name = "bare"
${RIGHTS}

[[namespace]]
name = "read"
rights = { subscribe = "all", publish = "none" }

[[namespace]]
name = "closed"
rights = { subscribe = "none", publish = "none" }

[[namespace]]
name = "asked"
presence = true
join_leave = true
rights = { subscribe = "app", publish = "all", presence = "all" }
`;

/** Starts a server with a proxy in front of it for each kind of client: checks of one kind must not cut another's. */
export async function openAll(taiwa, flags = [], kinds = KINDS) {
  const toml = `
[api]
keys = ["${API_KEY}"]

[times]
expiry_grace = "1s"

[rights]
call = "all"

[dialects.phoenix]
calls = ["call:*"]
broadcast_from = ["typing"]
poll_window = "1s"
silence_max = "3s"

${await startBackend()}${NAMESPACES}`;
  const open = async (kind) => {
    const site = await Site.start(taiwa, toml, flags);
    const proxy = await Proxy.before(site);
    const [near, far] = kind === 'fallback' ? await Promise.all([proxy, site].map(withoutWebSockets)) : [proxy.http, site.http];
    return { kind, site, near, far, control: controls(site, proxy, { die: () => kill(site) }) };
  };
  return Promise.all(kinds.map(open));
}

/** Kills the server with -9 and starts it again on its port. */
async function kill(site) {
  const again = await site.die();
  await again();
}

/** A way to a port on which every WebSocket is cut at its opening; resolves to its URL. */
async function withoutWebSockets({ port }) {
  const wall = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    const end = () => [near, far].forEach((side) => side.destroy());
    for (const side of [near, far]) side.on('error', end).on('close', end).setNoDelay(true);
    near.on('data', (bytes) => {
      if (/\r\nupgrade: *websocket/i.test(bytes.toString('latin1'))) return end();
      return far.write(bytes);
    });
    far.pipe(near);
  });
  await new Promise((resolve) => wall.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${wall.address().port}`;
}

/** Prints under the name of a kind. */
export function printUnder(kind) {
  return (line) => console.log(line.replace(' ', ` ${kind}/`));
}
