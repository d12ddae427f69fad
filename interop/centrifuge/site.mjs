// The servers of the Centrifuge checks, one for each kind of client, and what the checks may do to them.
import { API_KEY, Proxy, Site, TOKEN_SECRET, controls } from '../site.mjs';
import { ADMITTED_NAMESPACES } from './admitted.mjs';
import { startBackend } from './backend.mjs';
import { NAMESPACES } from './checks.mjs';
import { KINDS } from './clients.mjs';

/** Starts a server with a proxy in front of it for each kind of client: checks of one kind must not cut another's. */
export async function openAll(taiwa, flags = [], kinds = Object.keys(KINDS)) {
  const backend = await startBackend();
  const toml = `
[auth.jwt]
secrets = ["${TOKEN_SECRET}"]

[api]
keys = ["${API_KEY}"]

[times]
expiry_grace = "10s"

[dialects.centrifuge]
ping_every = "1s"

${backend.toml}${NAMESPACES}${ADMITTED_NAMESPACES}`;
  const open = async (kind) => {
    const site = await Site.start(taiwa, toml, flags);
    const proxy = await Proxy.before(site);
    return { kind, site, proxy, control: controls(site, proxy, { told: () => backend.told }) };
  };
  return Promise.all(kinds.map(open));
}

/** Prints under the name of a kind. */
export function printUnder(kind) {
  return (line) => console.log(line.replace(' ', ` ${kind}/`));
}
