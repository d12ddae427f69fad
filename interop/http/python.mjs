// PyPI h2 with wsproto, niquests, aioquic with wsproto, and curl_cffi, each against a `taiwa serve` with TLS.
//
//   node http/python.mjs TAIWA PYTHON
//
// prints `ok KIND/NAME` or `FAIL KIND/NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { within } from '../words.mjs';
import { startTls } from './site.mjs';

const [, , taiwa, python] = process.argv;
const here = dirname(fileURLToPath(import.meta.url));
const site = await startTls(taiwa);

for (const [kind, script] of [['hyper', 'hyper.py'], ['niquests', 'niquests_.py'], ['aioquic', 'aioquic_.py'], ['curl', 'curl_.py']]) {
  const program = spawn(python, [join(here, script), '127.0.0.1', String(site.port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface(program.stdout).on('line', (line) => console.log(line.replace(' ', ` ${kind}/`)));
  const ended = new Promise((resolve) => program.once('close', resolve));
  await within(ended, 60_000, script).catch((late) => {
    program.kill('SIGKILL');
    console.error(late.message);
  });
}
await site.finish().then(() => console.log('ok ends-well'), (why) => console.log(`FAIL ends-well: ${why.message}`));
process.exit(0);
