// The checks of Chromium's own `EventSource` and `WebSocket`. `control` and `tell` are the program's that drives it.
import { runAll } from '../words.mjs';
import { checksOf } from './checks.mjs';

export async function run({ near, far }) {
  const { EventSource, WebSocket, control, tell } = window;
  const printed = [];
  await runAll(checksOf({ EventSource, WebSocket, near, far, control }), (line) => printed.push(tell(line)));
  await Promise.all(printed);
}
