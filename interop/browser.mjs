// The checks both browsers run against `taiwa serve`: the page at `/` in two tabs, and sockets of the page's own.
//
//   node BROWSER/test.mjs HTTP_ORIGIN [TAIWA]      TAIWA is the program whose `connect` joins the chat
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { createInterface } from 'node:readline';

import { within } from './checks.mjs';

const CHECK_MS = 20_000;
const STEP_MS = 8_000;

const logOf = () => document.querySelector('#log').innerText;
export const stateOf = () => document.querySelector('#state').innerText;
const whoOf = () =>
  Array.from(document.querySelectorAll('#connections tbody tr'), (row) => row.innerText);

async function until(what, probe) {
  const end = Date.now() + STEP_MS;
  let seen;
  while (Date.now() < end) {
    seen = await probe();
    if (seen === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${what}: not after ${STEP_MS} ms (${JSON.stringify(seen)?.slice(0, 200)})`);
}

export const shows = (tab, text) =>
  until(`"${text}" in the log`, async () => (await tab.evaluate(logOf)).includes(text) || false);

export async function say(tab, text) {
  await tab.click('#say');
  await tab.type('#say', text);
  await tab.click('#send');
}

/** Runs in the page: opens a socket, sends, collects what comes back, closes. */
export async function talk({ url, messages, code, reason }) {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const received = [];
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${received.length} messages`)), 6_000);
    socket.onerror = () => resolve({ error: true });
    socket.onopen = () => {
      for (const message of messages) {
        socket.send(typeof message === 'string' ? message : new Uint8Array(message));
      }
      if (messages.length === 0) socket.close(code, reason);
    };
    socket.onmessage = ({ data }) => {
      received.push(typeof data === 'string' ? data : Array.from(new Uint8Array(data)));
      if (received.length === messages.length) socket.close(code, reason);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      resolve({ received, code, reason, wasClean, extensions: socket.extensions });
    };
  });
}

/** Runs in the page: an echo through WebSocketStream, with reading and writing as streams. */
export async function stream({ url }) {
  const socket = new WebSocketStream(url);
  const { readable, writable, extensions } = await socket.opened;
  const reader = readable.getReader();
  const writer = writable.getWriter();
  await writer.write('対話');
  const text = (await reader.read()).value;
  await writer.write(new Uint8Array(100_000).fill(7));
  const bytes = new Uint8Array((await reader.read()).value);
  socket.close({ closeCode: 4001, reason: 'またね' });
  const { closeCode } = await socket.closed;
  return { text, length: bytes.length, sevens: bytes.every((byte) => byte === 7), closeCode, extensions };
}

/** Starts `taiwa serve` on a port, 0 for any; resolves to the program and its URL. */
async function serve(taiwa, port) {
  const program = spawn(taiwa, ['serve', '--listen', `127.0.0.1:${port}`]);
  const { value } = await within(
    createInterface(program.stdout)[Symbol.asyncIterator]().next(),
    STEP_MS,
    'the URL of a server',
  );
  return { program, url: new URL(value) };
}

function ended(program) {
  const over = new Promise((resolve) => program.once('close', resolve));
  program.kill('SIGTERM');
  return within(over, STEP_MS, 'the end of a server');
}

/** A page of another origin, to see its socket refused. */
function elsewhere() {
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><link rel="icon" href="data:,"><title>elsewhere</title>');
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function tabChecks({ origin, taiwa, newTab, streams, noticed }) {
  const ws = origin.replace('http', 'ws');
  let a;
  let b;
  const open = async () => {
    const tab = await newTab(noticed);
    await tab.goto(`${origin}/`);
    return tab;
  };
  return {
    async connected() {
      [a, b] = [await open(), await open()];
      for (const tab of [a, b]) {
        await until('connected', async () => {
          const state = await tab.evaluate(stateOf);
          return state === 'connected' || state;
        });
      }
    },
    async 'two-tabs'() {
      await say(a, 'こんにちは from A');
      await shows(b, 'こんにちは from A');
      await say(b, '<b>hello</b> from B');
      await shows(a, '<b>hello</b> from B');
      const times = (await b.evaluate(logOf)).split('こんにちは from A').length - 1;
      assert.equal(times, 1, `B shows it ${times} times`);
    },
    async 'live-list'() {
      for (const tab of [a, b]) {
        await until('two rows of /chat', async () => {
          const rows = await tab.evaluate(whoOf);
          return rows.filter((row) => row.includes('/chat')).length === 2 || rows;
        });
      }
      const third = await open();
      const chatting = async () => {
        const rows = await a.evaluate(whoOf);
        return rows.filter((row) => row.includes('/chat')).length;
      };
      await until('a third row', async () => (await chatting()) === 3 || false);
      await third.close();
      await until('two rows again', async () => (await chatting()) === 2 || false);
    },
    async terminal() {
      if (!taiwa) return 'no program given';
      const program = spawn(taiwa, ['connect', `${ws}/chat`]);
      try {
        const lines = createInterface(program.stdout)[Symbol.asyncIterator]();
        program.stdin.write('端末から\n');
        await shows(a, '端末から');
        await shows(b, '端末から');
        await say(a, 'to the terminal');
        const { value } = await within(lines.next(), STEP_MS, 'a line');
        assert.equal(value, 'to the terminal');
        const ended = new Promise((resolve) => program.once('close', resolve));
        program.stdin.end();
        assert.equal(await within(ended, STEP_MS, 'the program'), 0);
      } finally {
        program.kill('SIGKILL');
      }
    },
    async echo() {
      const bytes = Array.from({ length: 256 }, (_, byte) => byte);
      const messages = ['dialogue', '対話', '', bytes, []];
      const seen = await a.evaluate(talk, { url: `${ws}/echo`, messages, code: 1000 });
      assert.deepEqual(seen.received, messages);
    },
    async deflate() {
      const messages = ['taiwa 対話 '.repeat(7000), 'short', 'taiwa 対話 '.repeat(7000)];
      const seen = await a.evaluate(talk, { url: `${ws}/echo`, messages, code: 1000 });
      assert.deepEqual(seen.received, messages);
      assert.match(seen.extensions, /permessage-deflate/);
    },
    async 'close-code'() {
      const given = { url: `${ws}/echo`, messages: [], code: 4001, reason: 'またね' };
      const { code, reason, wasClean } = await a.evaluate(talk, given);
      assert.deepEqual({ code, wasClean }, { code: 4001, wasClean: true });
      // RFC 6455 §5.5.1 has the answer repeat the code; taiwa repeats the reason too.
      assert.equal(reason, 'またね');
    },
    async stream() {
      if (!streams) return 'the browser has no WebSocketStream';
      const { extensions, ...seen } = await a.evaluate(stream, { url: `${ws}/echo` });
      const due = { text: '対話', length: 100_000, sevens: true, closeCode: 4001 };
      assert.deepEqual(seen, due);
      assert.match(extensions, /permessage-deflate/);
    },
    async 'wrong-origin'() {
      const server = await elsewhere();
      try {
        const tab = await newTab(undefined);
        await tab.goto(`http://127.0.0.1:${server.address().port}/`);
        const seen = await tab.evaluate(talk, { url: `${ws}/echo`, messages: ['let me in'] });
        assert.ok(seen.error, 'a page of another origin was let in');
        await tab.close();
      } finally {
        server.close();
        server.closeAllConnections();
      }
    },
    async offline() {
      assert.ok(noticed.urls.length > 2, `only ${noticed.urls.length} requests were seen`);
      const own = (url) => url.startsWith(`${origin}/`) || url.startsWith(`${ws}/`) || url.startsWith('data:');
      assert.deepEqual(noticed.urls.filter((url) => !own(url)), []);
    },
    async 'console-clean'() {
      assert.deepEqual(noticed.complaints, []);
    },
    async 'comes-back'() {
      if (!taiwa) return 'no program given';
      let { program, url } = await serve(taiwa, 0);
      try {
        const tab = await newTab(undefined);
        const state = (pattern) => async () => {
          const text = await tab.evaluate(stateOf);
          return pattern.test(text) || text;
        };
        await tab.goto(url.href);
        await until('connected', state(/^connected$/));
        await ended(program);
        // 1012, or 1006 if it asked again while the server was leaving.
        await until('closed', state(/^closed \((1001|1012|1006)\)/));
        ({ program } = await serve(taiwa, url.port));
        await until('connected again', state(/^connected$/));
        await tab.close();
      } finally {
        program.kill('SIGKILL');
      }
    },
  };
}

/**
 * Runs every check. `newTab` opens a tab; `streams` says whether the browser has `WebSocketStream`. Tabs are pages of
 * playwright or puppeteer, which agree in all that is used here.
 */
export async function run({ newPage, streams, quit }) {
  const [origin, taiwa] = process.argv.slice(2);
  const noticed = { urls: [], complaints: [] };
  const newTab = async (notes) => {
    const tab = await newPage();
    if (notes) {
      tab.on('request', (request) => notes.urls.push(request.url()));
      tab.on('websocket', (socket) => notes.urls.push(socket.url()));
      tab.on('response', (response) => {
        if (response.status() >= 400) notes.complaints.push(`${response.status()} ${response.url()}`);
      });
      tab.on('pageerror', (error) => notes.complaints.push(error.message));
      tab.on('console', (message) => {
        if (['error', 'warning', 'warn'].includes(message.type())) notes.complaints.push(message.text());
      });
    }
    return tab;
  };
  for (const [name, check] of Object.entries(tabChecks({ origin, taiwa, newTab, streams, noticed }))) {
    try {
      const why = await within(check(), CHECK_MS, name);
      console.log(why ? `skip ${name}: ${why}` : `ok ${name}`);
    } catch (error) {
      console.log(`FAIL ${name}: ${String(error.message).replaceAll('\n', ' | ')}`);
    }
  }
  await within(quit(), 5_000, 'quitting').catch(() => {});
  process.exit(0);
}
