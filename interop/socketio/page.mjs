// The checks of one kind of client in a page. `control` and `tell` are the program's that drives the browser.
import { io } from '/node_modules/socket.io-client/dist/socket.io.esm.min.js';

import { runAll } from '../words.mjs';
import { checksOf } from './checks.mjs';
import { fallback } from './fallback.mjs';
import { choosing, strange } from './choosing.mjs';

/** Runs checks; what is printed is awaited, so that nothing is lost when the page goes. */
async function print(checks) {
  const printed = [];
  await runAll(checks, (line) => printed.push(window.tell(line)));
  await Promise.all(printed);
}

export async function run({ kind, near, far, hash }) {
  const control = (name, ...given) => window.control(name, given);
  // The bundles set it.
  const packages = { 4: io, 2: window.io, msgpack: window.io };
  await print(await checksOf({ kind, packages, near, far, control, hash }));
}

export const runBlocked = (http) => print(fallback(io, http));
export const runChoosing = (given) => print(choosing(io, given));
export const runStrange = (given) => print(strange(io, given));
