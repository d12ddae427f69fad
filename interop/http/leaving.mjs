// What a page proves of WebTransport besides: a server that goes away tells it, and what `--tls dev` prints opens a session.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { fails, holds, same, until, within } from '../words.mjs';
import { certificateHash, startTls } from './site.mjs';
import { open } from './transport.mjs';

const START_MS = 20_000;

/** Runs in the page: resolves to how a session ends. */
const ends = async (name) => {
  const { closeCode, reason } = await window.sessions[name].session.closed;
  return { closeCode, reason };
};

/** Runs in the page: asks a plain client's question on the session that `snippet` makes, and resolves to the answer. */
const paste = (snippet) => `(async () => {
  const session = ${snippet};
  await session.ready;
  const { readable, writable } = await session.createBidirectionalStream();
  await writable.getWriter().write(new Uint8Array([0, 0, 0, 2, 104, 105]));
  const [heard, reader] = [[], readable.getReader()];
  while (heard.length < 6) heard.push(...(await reader.read()).value);
  return heard;
})()`;

/** Starts `taiwa serve --tls dev`; resolves to the program, its URL and what it says that a page is to say. */
async function startDev(taiwa) {
  const program = spawn(taiwa, ['serve', '--listen', '127.0.0.1:0', '--tls', 'dev', '--drain-period', 'off']);
  process.on('exit', () => program.kill('SIGKILL'));
  const ended = new Promise((resolve) => program.once('close', resolve));
  let [url, snippet] = [];
  createInterface(program.stdout).on('line', (it) => (url ??= it));
  createInterface(program.stderr).on('line', (it) => (snippet ??= /new WebTransport\(.*$/.exec(it)?.[0]));
  await until('a URL and a snippet', () => url && snippet, START_MS);
  return { program, ended, url, snippet };
}

/** The checks of a browser. `newPage` opens a tab. */
export function checksOf({ taiwa, newPage }) {
  return {
    async 'going-away'() {
      const site = await startTls(taiwa);
      const tab = await newPage();
      await tab.goto(`${site.http}/`);
      const hash = Array.from(certificateHash);
      await tab.evaluate(open, { name: 'leaving', url: `${site.http}/room`, hash });
      const told = tab.evaluate(ends, 'leaving');
      // It may end otherwise while nobody waits for it yet: that is this check's failure, and not the program's end.
      told.catch(() => {});
      // It ends well in time although the page does not close the connection.
      await site.finish();
      same(await within(told, START_MS, 'the end of the session'), { closeCode: 1012, reason: 'the server goes away' });
      await tab.close();
    },
    async 'dev-snippet'() {
      const { program, ended, url, snippet } = await startDev(taiwa);
      holds(snippet.includes(`WebTransport("${url}"`), `${snippet} is not for ${url}`);
      const tab = await newPage();
      await tab.goto(url);
      const echo = snippet.replace(`"${url}"`, `"${url}echo"`);
      same(await tab.evaluate(paste(echo)), [0, 0, 0, 2, 104, 105]);
      await tab.evaluate(`(async () => { const session = ${snippet}; await session.ready; session.close(); })()`);
      // The same with another hash, to know that it is the hash which is believed.
      const other = echo.replace(/atob\("(.)/, (_, first) => `atob("${first === 'A' ? 'B' : 'A'}`);
      holds(other !== echo, `no hash in ${snippet}`);
      await fails(tab.evaluate(paste(other)));
      await tab.close();
      program.kill('SIGTERM');
      same(await within(ended, START_MS, 'the end of the server'), 0);
    },
  };
}
