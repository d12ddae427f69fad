// npm `centrifuge` in Node, all kinds of clients at the same time, each against a `taiwa serve` of its own.
//
//   node centrifuge/node.mjs TAIWA
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import * as json from 'centrifuge';
import * as protobuf from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import { WebSocket } from 'ws';

import { runAll } from '../words.mjs';
import { checksOf } from './checks.mjs';
import { openAll, printUnder } from './site.mjs';

const packages = { json, protobuf };
const environment = { websocket: WebSocket, eventsource: EventSource, fetch, readableStream: ReadableStream };

async function run({ kind, site, near, far, control }) {
  const given = { kind, packages, environment, near, far, control };
  await runAll({ ...(await checksOf(given)), 'ends-well': () => site.finish() }, printUnder(kind));
}

await Promise.all((await openAll(process.argv[2])).map(run));
process.exit(0);
