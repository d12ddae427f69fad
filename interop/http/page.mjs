// What a browser proves over one version of HTTP: the page's chat, sockets of its own, and which version the server saw.
import { COMPRESSIBLE } from '../checks.mjs';
import { say, shows, stateOf, stream, talk } from '../browser.mjs';
import { becomes, holds, same } from '../words.mjs';
import { seen } from './site.mjs';

/** Runs in the page: opens a socket and leaves it open. */
const hold = (url) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error('refused'));
    (window.held ??= []).push(socket);
  });

/** Runs in the page: opens a `WebSocketStream` and leaves it open. */
const holdStream = async (url) => {
  const socket = new WebSocketStream(url);
  await socket.opened;
  (window.held ??= []).push(socket);
};

// Chromium names none where it had no choice.
const hop = () => performance.getEntriesByType('navigation')[0].nextHopProtocol || 'http/1.1';

/**
 * The checks of one version, `1.1`, `2` or `3`. `newPage` opens a tab, `origin` is where the server is for the browser, and
 * `streams` says whether the browser has `WebSocketStream`.
 */
export function checksOf({ version, site, origin, newPage, streams }) {
  const ws = origin.replace('http', 'ws');
  let [a, b] = [];
  const open = async () => {
    const tab = await newPage();
    await tab.goto(`${origin}/`);
    await becomes(() => tab.evaluate(stateOf), 'connected', 'its state');
    return tab;
  };
  const streaming = {
    async stream() {
      const { text, length, sevens, closeCode } = await a.evaluate(stream, { url: `${ws}/echo` });
      same([text, length, sevens, closeCode], ['対話', 100_000, true, 4001]);
    },
  };
  return {
    async page() {
      [a, b] = [await open(), await open()];
      for (const tab of [a, b]) same(await tab.evaluate(hop), { '1.1': 'http/1.1', 2: 'h2', 3: 'h3' }[version], 'version of the page');
    },
    async chat() {
      await say(a, `こんにちは ${version}`);
      await shows(b, `こんにちは ${version}`);
      await say(b, 'from the other tab');
      await shows(a, 'from the other tab');
      await becomes(() => seen(site), [`/chat ${version}`, `/chat ${version}`]);
    },
    async socket() {
      const bytes = Array.from({ length: 256 }, (_, byte) => byte);
      const messages = ['dialogue', '対話', '', bytes, [], COMPRESSIBLE, 'short', COMPRESSIBLE];
      const { received, extensions, ...end } = await a.evaluate(talk, { url: `${ws}/echo`, messages, code: 4001, reason: 'またね' });
      same(received, messages);
      same(end, { code: 4001, reason: 'またね', wasClean: true });
      holds(/permessage-deflate/.test(extensions), `extensions: ${extensions}`);
    },
    ...(streams ? streaming : {}),
    async seen() {
      await a.evaluate(hold, `${ws}/held`);
      if (streams) await a.evaluate(holdStream, `${ws}/held-stream`);
      const held = ['/held', ...(streams ? ['/held-stream'] : [])].map((it) => `${it} ${version}`);
      await becomes(() => seen(site), [`/chat ${version}`, `/chat ${version}`, ...held]);
    },
    async leaves() {
      await a.close();
      await becomes(() => seen(site), [`/chat ${version}`]);
      await b.close();
      await becomes(() => seen(site), []);
      await site.finish();
    },
  };
}
