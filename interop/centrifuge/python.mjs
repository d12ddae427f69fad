// PyPI `centrifuge-python`, in JSON and in Protocol Buffers at the same time, each against a `taiwa serve` of its own.
//
//   node centrifuge/python.mjs TAIWA PYTHON
//
// prints `ok FORM/NAME` or `FAIL FORM/NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { runAll } from '../words.mjs';
import { openAll, printUnder } from './site.mjs';

const [taiwa, interpreter] = process.argv.slice(2);

async function run({ kind: form, site, near, far, control }) {
  const print = printUnder(form);
  const program = spawn(interpreter, ['centrifuge/python.py', ...[near, far].map((it) => it.replace('http', 'ws')), form], { stdio: ['pipe', 'pipe', 'inherit'] });
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

await Promise.all((await openAll(taiwa, [], ['json', 'protobuf'])).map(run));
process.exit(0);
