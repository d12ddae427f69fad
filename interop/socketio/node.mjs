// npm `socket.io-client` in Node, all kinds of clients at the same time, each against a `taiwa serve` of its own.
//
//   node socketio/node.mjs TAIWA [PYTHON [KIND]...]
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import { io } from 'socket.io-client';
import old from 'socket.io-client-2';
import parser from 'socket.io-msgpack-parser';

import { runAll } from '../words.mjs';
import { checksOf } from './checks.mjs';
import { fallback } from './fallback.mjs';
import { openAll, printUnder, withoutWebSockets } from './site.mjs';

const packages = { 4: io, 2: old, msgpack: (url, options) => io(url, { ...options, parser }) };

async function run({ kind, site, proxy, control }) {
  const given = { kind, packages, near: proxy.http, far: site.http, control };
  await runAll({ ...(await checksOf(given)), 'ends-well': () => site.finish() }, printUnder(kind));
}

const [taiwa, , ...kinds] = process.argv.slice(2);
const sites = await openAll(taiwa, [], kinds.length > 0 ? kinds : undefined);
const [{ site }] = sites;
await runAll(fallback(io, await withoutWebSockets(site)), printUnder('blocked'));
await Promise.all(sites.map(run));
process.exit(0);
