// The checks of one kind of client in a page. `control` and `print` are the program's that drives the browser.
import * as phoenix from '/node_modules/phoenix/priv/static/phoenix.mjs';

import { runAll } from '../words.mjs';
import { checksOf } from './checks.mjs';

export async function run({ kind, near, far }) {
  const control = (name, ...given) => window.control(name, given);
  const checks = await checksOf({ kind, phoenix, environment: { WebSocket }, near, far, control });
  // What is printed is awaited, so that nothing is lost when the page goes.
  const printed = [];
  await runAll(checks, (line) => printed.push(window.tell(line)));
  await Promise.all(printed);
}
