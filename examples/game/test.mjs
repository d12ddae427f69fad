// Ada and bob play in two Chromiums, bob over a slow line: ticks, lag, moves, the coin.
//
//   node examples/game/test.mjs TAIWA      the program `game` is beside TAIWA
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check. `cargo xtask interop examples/game` runs it.
import net from 'node:net';
import { dirname, join } from 'node:path';

import { Example } from '../../interop/examples.mjs';
import { becomes, holds, runAll, same, until } from '../../interop/words.mjs';

const DELAY_MS = 60; // each way
const COUNT_MS = 3_000;

const game = await Example.start('game', { command: [join(dirname(process.argv[2]), 'game'), '127.0.0.1:0'] });

/** A line to the game on which everything takes a while; resolves to the URL of the page behind it. */
async function slowLine() {
  const server = net.createServer((near) => {
    const far = net.connect(new URL(game.url).port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay(true).on('error', () => to.destroy());
      from.on('data', (bytes) => setTimeout(() => to.write(bytes), DELAY_MS));
      from.on('close', () => setTimeout(() => to.destroy(), DELAY_MS));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}/`;
}

/** Keeps what comes in over the page's WebSocket, each with its time. */
function listen(page) {
  const heard = [];
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => heard.push({ payload, at: performance.now() })));
  return heard;
}

async function play(page, name) {
  await page.fill('#name', name);
  await page.click('#begin button');
}

const players = (page) => page.locator('#players li').allInnerTexts();
const number = async (page, selector) => parseFloat(await page.innerText(selector));
/** Where something is in a page's field, in parts of it. */
const place = (page, what) =>
  page.locator(what).evaluate((it) => ({ x: parseFloat(it.style.left) / 100, y: parseFloat(it.style.top) / 100 }));
const dot = (name) => `[data-name=${name}]`;

let ada;
let bob;
let heard;
await runAll({
  async 'come-in'() {
    [ada, bob] = await Promise.all([game.open(), slowLine().then((url) => game.open(url))]);
    heard = listen(ada);
    await Promise.all([play(ada, 'ada'), play(bob, 'bob')]);
    for (const page of [ada, bob]) await becomes(() => players(page), ['ada: 0', 'bob: 0'], 'players');
    holds(!(await ada.isVisible('#begin')), 'ada is asked for a name though she plays');
  },
  async refused() {
    const third = await game.open();
    await play(third, 'ada');
    await until('a refusal', async () => (await third.innerText('#state')) === 'somebody has this name');
    holds(await third.isVisible('#begin'), 'no other name can be chosen');
    await third.close();
  },
  async ticks() {
    heard.length = 0;
    await new Promise((resolve) => setTimeout(resolve, COUNT_MS));
    const ticks = heard.filter(({ payload }) => typeof payload !== 'string');
    const names = heard.filter(({ payload }) => typeof payload === 'string');
    const numbers = ticks.map(({ payload }) => payload.readUInt32LE(0));
    numbers.forEach((it, n) => same(it, numbers[0] + n, 'the next tick'));
    for (const { payload } of ticks) same(payload.length, 8 + 2 * 14, 'bytes of a tick');
    const rate = ((ticks.length - 1) * 1000) / (ticks.at(-1).at - ticks[0].at);
    holds(rate > 18 && rate < 22, `${rate} ticks a second`);
    holds(names.length >= 2 && names.length <= 4, `names came ${names.length} times`);
    const shown = await number(ada, '#rate');
    holds(shown > 18 && shown < 22, `${shown} ticks a second are shown`);
    same(await number(ada, '#missed'), 0, 'missed ticks');
  },
  async lag() {
    const [near, far] = [await number(ada, '#lag'), await number(bob, '#lag')];
    holds(near >= 0 && near < 2 * DELAY_MS, `ada's lag is shown as ${near} ms`);
    holds(far >= 2 * DELAY_MS - 1 && far < 6 * DELAY_MS, `bob's lag is shown as ${far} ms`);
    holds(far > near + DELAY_MS, `lags are shown as ${near} and ${far} ms`);
    for (const page of [ada, bob]) {
      const jitter = await number(page, '#jitter');
      holds(jitter >= 0 && jitter < DELAY_MS, `the jitter is shown as ${jitter} ms`);
    }
  },
  async moves() {
    const [before, still] = [await place(bob, dot('ada')), await place(bob, dot('bob'))];
    await ada.focus('#field');
    await ada.keyboard.down('ArrowLeft');
    await until('ada to move on the screen of bob', async () => (await place(bob, dot('ada'))).x < before.x - 0.2);
    await ada.keyboard.up('ArrowLeft');
    await until('ada to stand', async () => {
      const one = await place(bob, dot('ada'));
      await new Promise((resolve) => setTimeout(resolve, 200));
      return (await place(bob, dot('ada'))).x === one.x;
    });
    same((await place(bob, dot('ada'))).y, before.y, 'how high ada is');
    same(await place(bob, dot('bob')), still, 'where bob is');
    await becomes(() => place(ada, dot('ada')), await place(bob, dot('ada')), 'where ada sees herself');
  },
  async 'catches-the-coin'() {
    const box = await bob.locator('#field').boundingBox();
    const coin = await place(bob, '#coin');
    await bob.mouse.move(box.x + coin.x * box.width, box.y + coin.y * box.height);
    await bob.mouse.down();
    for (const page of [ada, bob]) await becomes(() => players(page), ['ada: 0', 'bob: 1'], 'points');
    await bob.mouse.up();
    same(await ada.innerText('#news'), 'bob has 1');
  },
  async leaving() {
    await bob.close();
    await becomes(() => players(ada), ['ada: 0'], 'players');
    await becomes(() => ada.locator(dot('bob')).count(), 0, 'dots of bob');
  },
  'ends-well': () => game.finish(),
});
process.exit(0);
