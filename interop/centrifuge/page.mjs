// The checks of one kind of client in a page. `control` and `print` are the program's that drives the browser.
import * as json from '/node_modules/centrifuge/build/index.mjs';
import * as protobuf from '/node_modules/centrifuge/build/protobuf/index.mjs';

import { runAll, STEP_MS, within } from '../words.mjs';
import { checksOf } from './checks.mjs';
import { Line } from './line.mjs';

export async function run({ kind, near, far, hash }) {
  const line = hash && new Line(near, hash);
  const control = (name, ...given) => line?.[name]?.() ?? window.control(name, given);
  const checks = await checksOf({ kind, packages: { json, protobuf }, environment: {}, near, far, control });
  // What is printed is awaited, so that nothing is lost when the page goes.
  const printed = [];
  await runAll(checks, (line) => printed.push(window.tell(line)));
  await Promise.all(printed);
}

/** Resolves to the transport by which a client comes in that would have WebTransport rather than a WebSocket. */
export async function chosen({ http, hash }) {
  new Line(http, hash);
  const client = new json.Centrifuge(
    [
      { transport: 'webtransport', endpoint: `${http}/connection/webtransport` },
      { transport: 'websocket', endpoint: `${http.replace('http', 'ws')}/connection/websocket` },
    ],
    { minReconnectDelay: 20, maxReconnectDelay: 200 },
  );
  const connected = new Promise((resolve) => client.once('connected', resolve));
  client.connect();
  try {
    return (await within(connected, STEP_MS, 'to be in')).transport;
  } finally {
    client.disconnect();
  }
}
