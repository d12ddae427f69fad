// WebTransport with aioquic of PyPI, or with Deno, at the other end: its client with `taiwa serve` and with a server of the
// library, its server with a client of the library.
//
//   node http/transport_foreign.mjs aioquic|deno TAIWA PYTHON
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { holds, runAll, until, within } from '../words.mjs';
import { cert, certificateHash, key, startTls } from './site.mjs';

const [, , kind, taiwa, python] = process.argv;
const here = dirname(fileURLToPath(import.meta.url));
const library = join(dirname(taiwa), 'examples/interop_session');
const hash = certificateHash.toString('hex');

const deno = [join(here, '../node_modules/.bin/deno'), 'run', '-A', '--no-config', '--unstable-net'];
/** Client and server, what the server lacks, and how the ends are told that their clients asked for with 4001. */
const peers = {
  aioquic: {
    client: [python, join(here, 'session_client.py')],
    server: [python, join(here, 'session_server.py')],
    lacks: [],
    seen: '4001 またね',
  },
  deno: {
    client: [...deno, join(here, '../deno/session_client.mjs')],
    server: [...deno, join(here, '../deno/session_server.mjs')],
    lacks: ['streams', 'close', 'refuse'],
    // It closes the connection, whose code is none of the session's.
    seen: '- the connection is gone',
  },
};
const { client, server, lacks, seen } = peers[kind];

/** Starts a program and calls back with each line that it prints. */
function start([program, ...given], heard) {
  const child = spawn(program, given, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => child.kill('SIGKILL'));
  createInterface(child.stdout).on('line', heard);
  return child;
}

/** Starts a server; resolves to its port, and to what it prints behind it. */
async function listening(command) {
  const lines = [];
  start([...command, cert, key], (it) => lines.push(it));
  await until(`${command[0]} listens`, () => lines.length > 0, 20_000);
  holds(/^listening \d+$/.test(lines[0]), lines[0]);
  return { port: lines[0].split(' ')[1], lines };
}

/** Runs a program that prints verdicts, to its end. */
async function verdicts(prefix, command) {
  const child = start(command, (it) => console.log(it.replace(' ', ` ${prefix}/`)));
  const ended = new Promise((resolve) => child.once('close', resolve));
  await within(ended, 90_000, prefix).catch((late) => console.error(late.message));
}

const site = await startTls(taiwa);
const ours = await listening([library, 'serve']);
await verdicts('client', [...client, '127.0.0.1', String(site.port), ours.port, hash]);
const theirs = await listening(server);
await verdicts('server', [library, 'connect', `https://127.0.0.1:${theirs.port}`, hash, ...lacks]);
const tells = async (lines, due) => {
  await until(`${due} in ${lines.join(' | ')}`, () => lines.includes(due));
};
await runAll({
  'client/closes-seen': () => tells(ours.lines, `closed /closes ${seen}`),
  'server/closes-seen': async () => {
    if (lacks.includes('close')) return 'the server does not hear that a session is closed';
    return tells(theirs.lines, 'closed /closes 4001 またね');
  },
  'ends-well': () => site.finish(),
});
process.exit(0);
