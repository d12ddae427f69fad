// WebTransport in Chromium.
//
//   node http/transport_chromium.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { runAll } from '../words.mjs';
import * as leaving from './leaving.mjs';
import { startTls } from './site.mjs';
import { checksOf } from './transport.mjs';

const [, , taiwa] = process.argv;
const site = await startTls(taiwa);
// For the page alone: its session trusts the hash.
const browser = await launch(['--ignore-certificate-errors']);
const newPage = () => browser.newPage();
await runAll({ ...checksOf({ site, newPage }), ...leaving.checksOf({ taiwa, newPage }) });
await browser.close();
process.exit(0);
