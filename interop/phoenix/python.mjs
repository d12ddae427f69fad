// PyPI `phoenix-channels-python-client`, by both serializers at the same time, each against a `taiwa serve` of its own.
//
//   node phoenix/python.mjs TAIWA PYTHON
//
// prints `ok SERIALIZER/NAME` or `FAIL SERIALIZER/NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { runAll } from '../words.mjs';
import { openAll, printUnder } from './site.mjs';

const [taiwa, interpreter] = process.argv.slice(2);

async function run({ site, near, control }, serializer) {
  const print = printUnder(serializer);
  const program = spawn(interpreter, ['phoenix/python.py', near.replace('http', 'ws'), serializer], { stdio: ['pipe', 'pipe', 'inherit'] });
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

const sites = await openAll(taiwa, [], ['v1', 'v2']);
await Promise.all(sites.map((it) => run(it, it.kind)));
process.exit(0);
