// npm `socket.io-client` over WebTransport in Chromium: at once, and from polling in mid-life; from a page of another origin,
// against a `taiwa serve` with TLS for each kind of client.
//
//   node socketio/webtransport.mjs TAIWA
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { certificateHash, tlsFlags } from '../http/site.mjs';
import { servePages } from '../pages.mjs';
import { API_KEY, Proxy, Site, controls } from '../site.mjs';
import { runAll } from '../words.mjs';
import { startBackend } from './backend.mjs';
import { SETTINGS } from './checks.mjs';
import { SESSION_KINDS } from './clients.mjs';
import { DatagramProxy } from './datagrams.mjs';
import { printUnder } from './site.mjs';

// The certificate is nobody's but ours.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const MSGPACK = '/node_modules/socket.io-client/dist/socket.io.msgpack.min.js';
// Datagrams that get lost are told to nobody: what is cut off is noticed by its heartbeat.
const HEARTBEAT = ['--set', 'dialects.socketio.ping_every=1s', '--set', 'dialects.socketio.pong_within=4s'];

const taiwa = process.argv[2];
const hash = Array.from(certificateHash);
const [pages, others] = [await servePages(), await servePages()];
const backend = await startBackend();
const toml = `
[api]
keys = ["${API_KEY}"]
${backend.toml}${SETTINGS}`;
const start = (...flags) => Site.start(taiwa, toml, ['--origin', pages.origin, ...tlsFlags, ...HEARTBEAT, ...flags]);
// The page trusts the certificate for its requests; for its sessions it has the hash.
const browser = await launch(['--ignore-certificate-errors']);

/** Opens a page that can tell what it finds. */
async function open(origin, print) {
  const page = await browser.newPage();
  await page.exposeFunction('tell', print);
  await page.goto(origin);
  return page;
}

async function run(kind) {
  const site = await start();
  const proxy = await DatagramProxy.before(site);
  const control = controls(site, proxy);
  const print = printUnder(kind);
  const page = await open(pages.origin, print);
  await page.exposeFunction('control', (name, given) => control(name, ...given));
  if (SESSION_KINDS[kind].parser) await page.addScriptTag({ url: MSGPACK });
  const given = { kind, near: proxy.http, far: site.http, hash };
  await page.evaluate(async (it) => (await import('/socketio/page.mjs')).run(it), given);
  await page.close();
  proxy.close();
  await runAll({ 'ends-well': () => site.finish() }, print);
}

async function runChoosing() {
  const [site, off] = await Promise.all([
    start('--set', 'dialects.socketio.recovery=off'),
    start('--set', 'dialects.socketio.webtransport=false'),
  ]);
  const tcp = await Proxy.before(site);
  const print = printUnder('choosing');
  const given = { near: site.http, tcp: tcp.http.replace('http', 'https'), off: off.http, hash };
  const page = await open(pages.origin, print);
  await page.evaluate(async (it) => (await import('/socketio/page.mjs')).runChoosing(it), given);
  const stranger = await open(others.origin, print);
  await stranger.evaluate(async (it) => (await import('/socketio/page.mjs')).runStrange(it), given);
  await Promise.all([page.close(), stranger.close()]);
  tcp.close();
  await runAll({ 'ends-well': () => Promise.all([site.finish(), off.finish()]).then(() => {}) }, print);
}

await runChoosing();
await Promise.all(Object.keys(SESSION_KINDS).map(run));
await browser.close();
process.exit(0);
