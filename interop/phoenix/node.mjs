// npm `phoenix` in Node, all kinds of clients at the same time, each against a `taiwa serve` of its own.
//
//   node phoenix/node.mjs TAIWA
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import * as phoenix from 'phoenix';
import { WebSocket } from 'ws';

import { runAll } from '../words.mjs';
import { checksOf } from './checks.mjs';
import { openAll, printUnder } from './site.mjs';

async function run({ kind, site, near, far, control }) {
  const given = { kind, phoenix, environment: { WebSocket }, near, far, control };
  await runAll({ ...(await checksOf(given)), 'ends-well': () => site.finish() }, printUnder(kind));
}

await Promise.all((await openAll(process.argv[2])).map(run));
process.exit(0);
