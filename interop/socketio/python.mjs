// PyPI `python-socketio`, its clients with threads and with asyncio, over each transport at the same time, each against a
// `taiwa serve` of its own.
//
//   node socketio/python.mjs TAIWA PYTHON
//
// prints `ok KIND/NAME` or `FAIL KIND/NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { runAll } from '../words.mjs';
import { openAll, printUnder } from './site.mjs';

const [taiwa, interpreter] = process.argv.slice(2);
const KINDS = ['sync', 'async'].flatMap((form) => ['polling', 'upgrade', 'websocket'].map((it) => `${form}-${it}`));

async function run({ kind, site, proxy, control }) {
  const print = printUnder(kind);
  const program = spawn(interpreter, ['socketio/python.py', proxy.http, site.http, kind], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => program.once('close', resolve));
  createInterface(program.stdout).on('line', async (line) => {
    if (!line.startsWith('do ')) return print(line);
    const { name, given } = JSON.parse(line.slice(3));
    const result = (await control(name, ...given)) ?? null;
    program.stdin.write(`${JSON.stringify({ result })}\n`);
  });
  await ended;
  await runAll({ 'ends-well': () => site.finish() }, print);
}

// Its handlers take the arguments of an event and no offset behind them.
await Promise.all((await openAll(taiwa, ['--set', 'dialects.socketio.recovery=off'], KINDS)).map(run));
process.exit(0);
