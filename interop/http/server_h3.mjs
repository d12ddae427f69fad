// PyPI aioquic, with wsproto for the frames, as the server of `taiwa connect`: WebSockets on streams of HTTP/3.
//
//   node http/server_h3.mjs TAIWA PYTHON
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { runAll, same, until, within } from '../words.mjs';
import { cert, connect, has, key } from './connect.mjs';

const [, , , python] = process.argv;
const script = join(dirname(fileURLToPath(import.meta.url)), 'server_h3.py');
const server = spawn(python, [script, cert, key], { stdio: ['ignore', 'pipe', 'inherit'] });
process.on('exit', () => server.kill('SIGKILL'));
const told = [];
const lines = createInterface(server.stdout).on('line', (it) => told.push(it));
const [first] = await within(once(lines, 'line'), 10_000, 'aioquic');
const origin = `wss://localhost:${first.split(' ')[1]}`;

const found = (start) => told.filter((it) => it.startsWith(start));

await runAll({
  opened: async () => {
    const { code, stdout, stderr } = await connect(`${origin}/echo?x=1`, ['--http3', '-m', 'hello', '-1']);
    same([code, stdout.toString()], [0, 'hello\n']);
    has(stderr, '* HTTP/3.0: asked for\n< HTTP/3.0 200 OK\n');
    has(stderr, 'subprotocol b, permessage-deflate');
    const [asked] = found('asked');
    for (const part of [':method=CONNECT', ':path=/echo?x=1', ':protocol=websocket', ':scheme=https']) has(asked, ` ${part}`);
    has(asked, 'sec-websocket-protocol=a,b sec-websocket-version=13');
    same(/ (host|connection|upgrade|sec-websocket-key)=/.test(asked), false);
    await until('the end', () => found('closed /echo?x=1 1000 fin').length === 1);
  },
  messages: async () => {
    const sent = Buffer.alloc(1 << 20, 7).subarray(0, (1 << 20) - 5);
    const input = Buffer.concat([Buffer.alloc(4), sent]);
    input.writeUInt32BE(sent.length);
    const { code, stdout } = await connect(`${origin}/echo`, ['--http3', '--binary', '--delimiter', 'len32', '-1'], input);
    same([code, stdout.length, stdout.equals(input)], [0, input.length, true]);
  },
  lines: async () => {
    const sent = Array.from({ length: 2000 }, (_, it) => `line ${it}\n`).join('');
    const { code, stdout } = await connect(`${origin}/echo`, ['--http3', '--count', '2000'], sent);
    same([code, stdout.toString() === sent], [0, true]);
  },
  close: async () => {
    const { code, stderr } = await connect(`${origin}/close`, ['--http3', '--stay']);
    same(code, 9);
    has(stderr, 'closed by the server with 4002: またね');
    await until('the end', () => found('closed /close 4002 fin').length === 1);
  },
  refused: async () => {
    const { code, stderr } = await connect(`${origin}/refused`, ['--http3']);
    same(code, 5);
    has(stderr, 'refused with 403 Forbidden\n');
    has(stderr, 'not you\n');
  },
  reset: async () => {
    same((await connect(`${origin}/reset`, ['--http3', '--stay'])).code, 8);
  },
});
process.exit(0);
