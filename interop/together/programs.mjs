// Members that are programs of their own: curl, which only hears, PyPI `centrifuge-python` and `python-socketio`.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { within } from '../words.mjs';
import { said } from './members.mjs';

const START_MS = 20_000;
const PROGRAMS = { socketio: 'together/member_socketio.py' };

/** curl on an event stream or on lines; resolves once it has heard where it stands. */
export async function curl(url, accept, read) {
  const program = spawn('curl', ['-N', '-s', '--max-time', '120', '-H', `Accept: ${accept}`, url]);
  let text = '';
  const first = new Promise((resolve) => {
    program.stdout.setEncoding('utf8').on('data', (it) => {
      text += it;
      if (/taiwa:here|^\{"id"/m.test(text)) resolve();
    });
  });
  await within(first, START_MS, 'the beginning of a stream');
  return { heard: () => read(text), end: () => program.kill('SIGKILL') };
}

/** Reads server-sent events as WHATWG HTML §9.2.6 has them interpreted. */
export function readEvents(text) {
  const blocks = text.split('\n\n').slice(0, -1);
  const events = blocks.map((block) => {
    const lines = block.split('\n').filter((it) => it && !it.startsWith(':'));
    const fields = lines.map((it) => /^(\w+)(?:: ?(.*))?$/.exec(it));
    const all = (name) => fields.filter((it) => it[1] === name).map((it) => it[2] ?? '');
    return { event: all('event').at(-1) ?? 'message', data: all('data') };
  });
  const due = events.filter(({ event, data }) => data.length > 0 && !event.startsWith('taiwa:'));
  return due.map(({ event, data }) => ({ event, data: data.join('\n') }));
}

/** What events with objects say. */
export function readObjects(text) {
  return readEvents(text).map(({ data }) => said(JSON.parse(data)));
}

/** What lines of objects say. */
export function readLines(text) {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((it) => JSON.parse(it)).filter((it) => it.channel !== undefined).map(said);
}

/** PyPI `centrifuge-python`, or `python-socketio`; it prints what it hears, one object of JSON a line. */
export async function python(interpreter, origin, channel, format) {
  const program = spawn(interpreter, [PROGRAMS[format] ?? 'together/member.py', origin, channel, format]);
  const heard = [];
  const waiting = [];
  let errors = '';
  program.stderr.setEncoding('utf8').on('data', (it) => (errors += it));
  createInterface(program.stdout).on('line', (line) => {
    const { done, ...rest } = JSON.parse(line);
    if (done) waiting.shift()?.();
    else heard.push(rest);
  });
  const done = async (what) => {
    const answered = new Promise((resolve) => waiting.push(resolve));
    await within(answered, START_MS, what).catch((error) => {
      throw new Error(`${error.message} ${errors.slice(-300)}`);
    });
  };
  await done('a subscription of python');
  const say = async (payload) => {
    const { event, bytes, value } = payload;
    const told = format === 'protobuf' || value === undefined ? { event, bytes } : { event, value };
    program.stdin.write(`${JSON.stringify(told)}\n`);
    await done('a publication of python');
  };
  return { heard: () => heard, say, end: () => program.kill('SIGKILL') };
}
