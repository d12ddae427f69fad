// npm `socket.io-client` in Chromium, all kinds of clients at the same time, each in a tab and against a `taiwa serve` of its
// own, from a page of another origin.
//
//   node socketio/chromium.mjs TAIWA
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { servePages } from '../pages.mjs';
import { runAll } from '../words.mjs';
import { openAll, printUnder, withoutWebSockets } from './site.mjs';

/** The bundles of the packages for pages; each sets `io`. */
const BUNDLES = {
  old: '/node_modules/socket.io-client-2/dist/socket.io.js',
  msgpack: '/node_modules/socket.io-client/dist/socket.io.msgpack.min.js',
};

const pages = await servePages();
const [browser, sites] = await Promise.all([launch(), openAll(process.argv[2], ['--origin', pages.origin])]);

/** Opens a page that knows what to do, and how to tell of it. */
async function open(print) {
  const page = await browser.newPage();
  await page.exposeFunction('tell', print);
  await page.goto(pages.origin);
  return page;
}

async function runBlocked() {
  const page = await open(printUnder('blocked'));
  const http = await withoutWebSockets(sites[0].site);
  await page.evaluate(async (it) => (await import('/socketio/page.mjs')).runBlocked(it), http);
  await page.close();
}

async function run({ kind, site, proxy, control }) {
  const print = printUnder(kind);
  const page = await open(print);
  await page.exposeFunction('control', (name, given) => control(name, ...given));
  const bundle = BUNDLES[kind.split('-')[0]];
  if (bundle) await page.addScriptTag({ url: bundle });
  const given = { kind, near: proxy.http, far: site.http };
  await page.evaluate(async (it) => (await import('/socketio/page.mjs')).run(it), given);
  await page.close();
  await runAll({ 'ends-well': () => site.finish() }, print);
}

await runBlocked();
await Promise.all(sites.map(run));
await browser.close();
process.exit(0);
