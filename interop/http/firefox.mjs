// Firefox over HTTP/1.1 and HTTP/2: the page's chat and WebSocket.
//
//   node http/firefox.mjs TAIWA
//
// prints `ok VERSION/NAME`, `FAIL VERSION/NAME: why` or `skip VERSION/NAME: why`, one line a check.
import { launch } from '../firefox/launch.mjs';
import { runAll } from '../words.mjs';
import { checksOf } from './page.mjs';
import { startPlain, startTls } from './site.mjs';

const [, , taiwa] = process.argv;
const KINDS = {
  h1: { version: '1.1', start: () => startPlain(taiwa) },
  h2: { version: '2', start: () => startTls(taiwa, ['--set', 'http3=false']) },
};

const browser = await launch({ acceptInsecureCerts: true });
for (const [kind, { version, start }] of Object.entries(KINDS)) {
  const site = await start();
  const given = { version, site, origin: site.http, newPage: () => browser.newPage(), streams: false };
  await runAll(checksOf(given), (line) => console.log(line.replace(' ', ` ${kind}/`)));
}
await browser.close();
process.exit(0);
