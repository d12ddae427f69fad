// Runs `taiwa connect`, whose path is the program's first argument, and has a certificate for the servers that it meets.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { within } from '../words.mjs';

const [, , taiwa] = process.argv;
const folder = mkdtempSync(join(tmpdir(), 'taiwa-server-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** A certificate of `localhost`, and its key. */
export const [cert, key] = ['cert.pem', 'key.pem'].map((it) => join(folder, it));
execFileSync('openssl', [
  ...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 -subj /CN=localhost'.split(' '),
  ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert],
], { stdio: 'ignore' });

/** Runs `taiwa connect`; resolves to how it ended and what it wrote. */
export async function connect(url, flags, input = '') {
  const program = spawn(taiwa, ['connect', '-k', '-v', '-s', 'a', '-s', 'b', url, ...flags]);
  const written = { stdout: [], stderr: [] };
  for (const name of ['stdout', 'stderr']) program[name].on('data', (it) => written[name].push(it));
  program.stdin.on('error', () => {});
  program.stdin.end(input);
  const ended = within(once(program, 'close'), 20_000, `taiwa connect ${url}`);
  const [code] = await ended.finally(() => program.kill('SIGKILL'));
  return { code, stdout: Buffer.concat(written.stdout), stderr: Buffer.concat(written.stderr).toString() };
}

/** Complains unless `part` stands in `text`. */
export function has(text, part) {
  if (!text.includes(part)) throw new Error(`no ${JSON.stringify(part)} in ${JSON.stringify(text)}`);
}
