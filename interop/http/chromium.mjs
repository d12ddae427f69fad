// Chromium over HTTP/1.1, HTTP/2 and HTTP/3: the page's chat, WebSocket and WebSocketStream.
//
//   node http/chromium.mjs TAIWA
//
// prints `ok VERSION/NAME`, `FAIL VERSION/NAME: why` or `skip VERSION/NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { runAll } from '../words.mjs';
import { checksOf } from './page.mjs';
import { spki, startPlain, startTls } from './site.mjs';

const [, , taiwa] = process.argv;

const KINDS = {
  h1: { version: '1.1', start: () => startPlain(taiwa), flags: () => [] },
  h2: { version: '2', start: () => startTls(taiwa, ['--set', 'http3=false']), flags: () => ['--ignore-certificate-errors'] },
  // A test's certificate is none for QUIC, unless its key is named; and WebSockets go by HTTP/3 if they are told to.
  h3: {
    version: '3',
    start: () => startTls(taiwa),
    flags: ({ port }) => [
      '--enable-quic',
      `--origin-to-force-quic-on=localhost:${port}`,
      `--ignore-certificate-errors-spki-list=${spki}`,
      '--host-resolver-rules=MAP localhost 127.0.0.1',
      '--enable-features=EnableWebsocketsOverHttp3',
    ],
  },
};

for (const [kind, { version, start, flags }] of Object.entries(KINDS)) {
  const site = await start();
  const browser = await launch(flags(site));
  const origin = site.http.replace('127.0.0.1', 'localhost');
  const given = { version, site, origin, newPage: () => browser.newPage(), streams: true };
  await runAll(checksOf(given), (line) => console.log(line.replace(' ', ` ${kind}/`)));
  await browser.close();
}
process.exit(0);
