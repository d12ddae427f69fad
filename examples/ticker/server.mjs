// The ticker's own program: makes quotes of 50 symbols and tells taiwa, serves the page. It needs nothing but Node.js.
//
//     node server.mjs [PORT]
//
// In the environment are TAIWA_API__KEYS, by which it may publish; TAIWA_URL if taiwa is not at http://127.0.0.1:8000; and
// QUOTES, how many it makes in a second, if not 1000.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const { TAIWA_API__KEYS: key, TAIWA_URL: taiwa = 'http://127.0.0.1:8000', QUOTES: quotes = '1000' } = process.env;
if (!key) throw new Error('TAIWA_API__KEYS is not set');
const EVERY_MS = 50;
const RETRY_MS = 500;
const BATCH_MAX = 200; // its quotes have room in the queue_max of taiwa.toml
const SYMBOLS = [...'BDFGKLMNPR'].flatMap((first) => [...'AEIOU'].map((second) => `${first}${second}XT`));
const websocket = taiwa.replace('http', 'ws');
const POLICY = `default-src 'self'; connect-src 'self' ${websocket}; img-src data:`;
const FILES = new Map([
  ['/', ['index.html', 'text/html']],
  ['/page.css', ['page.css', 'text/css']],
  ['/page.js', ['page.js', 'text/javascript']],
]);

/** The newest quote of each symbol that taiwa has. `n` counts the quotes of a symbol. */
const newest = new Map(SYMBOLS.map((symbol) => [symbol, { symbol, n: 0, price: 20 + Math.random() * 480 }]));

/** Makes the next quote of a symbol, with the ten best offers on both sides. Yours come from an exchange. */
function quoteBehind({ symbol, n, price: last }) {
  const price = Math.max(1, last * (1 + (Math.random() - 0.5) / 500));
  const offer = (step) => [+(price + step).toFixed(2), Math.ceil(Math.random() * 900)];
  const offers = (step) => Array.from({ length: 10 }, (_, it) => offer(step * (it + 1)));
  return { symbol, n: n + 1, price: +price.toFixed(2), bids: offers(-0.01), asks: offers(0.01) };
}

/** Publishes quotes, all in one request; the same ones again until taiwa has taken them. */
async function publish(made) {
  const commands = made.map((it) => ({ publish: { channel: 'quotes:all', key: it.symbol, data: it } }));
  for (;;) {
    try {
      const response = await fetch(`${taiwa}/api/v1/batch`, {
        method: 'POST',
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        body: JSON.stringify({ commands }),
        signal: AbortSignal.timeout(5_000),
      });
      const answer = await response.json();
      const error = answer.error ?? answer.replies.find((it) => it.error)?.error;
      if (!error) return;
      console.error(`taiwa refuses: ${error.message}`);
    } catch (error) {
      console.error(`taiwa can't be reached: ${error.cause?.code ?? error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Makes quotes at their rate, one request after the other. */
async function feed() {
  let [next, began, made] = [0, performance.now(), 0];
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    const due = Math.floor(((performance.now() - began) / 1000) * Number(quotes));
    // What could not be made in time is not made up for.
    const count = Math.min(due - made, BATCH_MAX);
    made = due;
    const batch = new Map(newest);
    const list = [];
    for (let it = 0; it < count; it += 1) {
      const quote = quoteBehind(batch.get(SYMBOLS[next]));
      next = (next + 1) % SYMBOLS.length;
      batch.set(quote.symbol, quote);
      list.push(quote);
    }
    if (list.length === 0) continue;
    await publish(list);
    for (const [symbol, quote] of batch) newest.set(symbol, quote);
  }
}

function answer(response, status, kind, body) {
  response.writeHead(status, { 'content-type': `${kind}; charset=utf-8`, 'cache-control': 'no-store', 'content-security-policy': POLICY });
  response.end(body);
}

const server = createServer(async (request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/quotes') {
    const all = { url: `${websocket}/quotes:all`, quotes: [...newest.values()].filter((it) => it.n > 0) };
    return answer(response, 200, 'application/json', JSON.stringify(all));
  }
  const file = FILES.get(path);
  if (!file) return answer(response, 404, 'text/plain', 'not found\n');
  answer(response, 200, file[1], await readFile(new URL(`page/${file[0]}`, import.meta.url)));
});

server.listen(Number(process.argv[2] ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
  feed();
});
