// npm `centrifuge` in Chromium, all kinds of clients at the same time, each in a tab and against a `taiwa serve` of its
// own, from a page of another origin; those by WebTransport over TLS, with the hash of the certificate.
//
//   node centrifuge/chromium.mjs TAIWA PYTHON [KIND…]
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { certificateHash, startTls } from '../http/site.mjs';
import { servePages } from '../pages.mjs';
import { runAll, same } from '../words.mjs';
import { KINDS, KINDS_OF_BROWSERS } from './clients.mjs';
import { openAll, openAllOverTls, printUnder } from './site.mjs';

const [taiwa, , ...kinds] = process.argv.slice(2);
const wanted = (all) => Object.keys(all).filter((it) => kinds.length === 0 || kinds.includes(it));
const pages = await servePages();
const flags = ['--origin', pages.origin];
const [browser, sites, overTls] = await Promise.all([
  // For WebSockets alone: sessions trust the hash.
  launch(['--host-resolver-rules=MAP localhost 127.0.0.1', '--ignore-certificate-errors']),
  openAll(taiwa, flags, wanted(KINDS)),
  openAllOverTls(taiwa, flags, wanted(KINDS_OF_BROWSERS)),
]);

async function run({ kind, site, near, far, control }, hash) {
  const print = printUnder(kind);
  const page = await browser.newPage();
  await page.exposeFunction('control', (name, given) => control(name, ...given));
  await page.exposeFunction('tell', print);
  await page.goto(pages.origin);
  const given = { kind, near, far, hash };
  await page.evaluate(async (it) => (await import('/centrifuge/page.mjs')).run(it), given);
  await page.close();
  await runAll({ 'ends-well': () => site.finish() }, print);
}

/** Where the first transport is not to be had, a client comes by the next. */
async function fallsBack() {
  const page = await browser.newPage();
  await page.goto(pages.origin);
  const settings = { 'webtransport=false': 'websocket', 'dialects.centrifuge.webtransport=false': 'websocket', 'webtransport=true': 'webtransport' };
  for (const [set, due] of Object.entries(settings)) {
    const site = await startTls(taiwa, [...flags, '--set', set]);
    const given = { http: site.http, hash };
    const chosen = await page.evaluate(async (it) => (await import('/centrifuge/page.mjs')).chosen(it), given);
    same(chosen, due, `with ${set}`);
    await site.finish();
  }
  await page.close();
}

const hash = Array.from(certificateHash);
if (overTls.length > 0) await runAll({ 'falls-back': fallsBack }, printUnder('webtransport'));
await Promise.all([
  ...sites.map((it) => run(it)),
  ...overTls.map((it) => run(it, hash)),
]);
await browser.close();
process.exit(0);
