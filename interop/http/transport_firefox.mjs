// WebTransport in Firefox.
//
//   node http/transport_firefox.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { launch } from '../firefox/launch.mjs';
import { runAll } from '../words.mjs';
import * as leaving from './leaving.mjs';
import { startTls } from './site.mjs';
import { checksOf } from './transport.mjs';

const [, , taiwa] = process.argv;
const site = await startTls(taiwa);
const browser = await launch({ acceptInsecureCerts: true });
const newPage = () => browser.newPage();
await runAll({ ...checksOf({ site, newPage }), ...leaving.checksOf({ taiwa, newPage }) });
await browser.close();
await site.finish();
process.exit(0);
