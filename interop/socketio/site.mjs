// The servers of the Socket.IO checks, one for each kind of client, and what the checks may do to them.
import net from 'node:net';

import { API_KEY, Proxy, Site, controls } from '../site.mjs';
import { startBackend } from './backend.mjs';
import { SETTINGS } from './checks.mjs';
import { KINDS } from './clients.mjs';

/** Starts a server with a proxy in front of it for each kind of client: checks of one kind must not cut another's. */
export async function openAll(taiwa, flags = [], kinds = Object.keys(KINDS)) {
  const backend = await startBackend();
  const toml = `
[api]
keys = ["${API_KEY}"]
${backend.toml}${SETTINGS}`;
  const open = async (kind) => {
    const site = await Site.start(taiwa, toml, flags);
    const proxy = await Proxy.before(site);
    return { kind, site, proxy, control: controls(site, proxy) };
  };
  return Promise.all(kinds.map(open));
}

/** Prints under the name of a kind. */
export function printUnder(kind) {
  return (line) => console.log(line.replace(' ', ` ${kind}/`));
}

/** A TCP proxy on loopback through which no WebSocket comes; resolves to its origin. */
export async function withoutWebSockets(site) {
  const server = net.createServer((near) => {
    const far = net.connect(site.port, '127.0.0.1');
    const end = () => [near, far].forEach((it) => it.destroy());
    for (const it of [near, far]) it.on('error', end).on('close', end);
    near.on('data', (it) => (/upgrade: *websocket/i.test(it.toString('latin1')) ? end() : far.write(it)));
    far.pipe(near);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
