// The servers of the Centrifuge checks, one for each kind of client, and what the checks may do to them.
import { startTls } from '../http/site.mjs';
import { API_KEY, Proxy, Site, TOKEN_SECRET, controls } from '../site.mjs';
import { ADMITTED_NAMESPACES } from './admitted.mjs';
import { startBackend } from './backend.mjs';
import { NAMESPACES } from './checks.mjs';
import { KINDS } from './clients.mjs';

/** Starts a server with a proxy in front of it for each kind of client: checks of one kind must not cut another's. */
export async function openAll(taiwa, flags = [], kinds = Object.keys(KINDS)) {
  const toml = tomlOf(await startBackend());
  const open = async (kind) => {
    const site = await Site.start(taiwa, toml.text, flags);
    const proxy = await Proxy.before(site);
    return { kind, site, near: proxy.http, far: site.http, control: controls(site, proxy, toml.more) };
  };
  return Promise.all(kinds.map(open));
}

/** The same over TLS and without proxies: clients by WebTransport cut their lines themselves. */
export async function openAllOverTls(taiwa, flags, kinds) {
  const toml = tomlOf(await startBackend());
  const open = async (kind) => {
    const site = await startTls(taiwa, flags, toml.text);
    const near = site.http.replace('127.0.0.1', 'localhost');
    return { kind, site, near, far: site.http, control: controls(site, undefined, toml.more) };
  };
  return Promise.all(kinds.map(open));
}

function tomlOf(backend) {
  const text = `
[auth.jwt]
secrets = ["${TOKEN_SECRET}"]

[api]
keys = ["${API_KEY}"]

[times]
expiry_grace = "10s"

[dialects.centrifuge]
ping_every = "1s"

${backend.toml}${NAMESPACES}${ADMITTED_NAMESPACES}`;
  return { text, more: { told: () => backend.told } };
}

/** Prints under the name of a kind. */
export function printUnder(kind) {
  return (line) => console.log(line.replace(' ', ` ${kind}/`));
}
