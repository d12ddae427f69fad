// Two Chromiums at the ticker: one reads all, the other stops reading for a while and then has the newest of each symbol.
//
//   node examples/ticker/test.mjs TAIWA
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check. `cargo xtask interop examples/ticker` runs it.
import { Example } from '../../interop/examples.mjs';
import { becomes, holds, runAll, same, until } from '../../interop/words.mjs';

const REPLACED = 'taiwa_slow_consumers_total{action="replace"}';
const REPLACED_MIN = 6_000; // quotes, of 400 bytes and more: 2.4 MB that are to wait nowhere
const QUEUE_KIB_MAX = 2_000;

const ticker = await Example.startDirectly('ticker', {
  taiwa: process.argv[2],
  command: [process.execPath, 'server.mjs', '0'],
  secrets: ['TAIWA_API__KEYS'],
  env: { QUOTES: '4000' }, // so that what the kernel keeps for a page is full soon
});

const number = async (page, selector) => Number((await page.innerText(selector)).replaceAll(',', ''));
/** The table: symbol, price, bid, ask and number of each newest quote. */
const table = async (page) =>
  (await page.locator('#quotes').innerText()).split('\n').map((it) => it.replace(/[▲▼] /, '').split(/\s+/));
const sum = (rows) => rows.reduce((all, row) => all + Number(row.at(-1)), 0);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let fast;
let slow;
await runAll({
  async 'come-in'() {
    [fast, slow] = await Promise.all([ticker.open(), ticker.open()]);
    for (const page of [fast, slow]) {
      await until('50 symbols', async () => (await table(page)).length === 50);
      same(await page.innerText('#state'), 'live');
      same(await page.isVisible('#stopped'), true, 'a page that can stop reading');
    }
  },
  async 'stops-reading'() {
    await slow.check('#stopped');
    const read = await number(slow, '#read');
    const start = ticker.site.residentKib();
    const replaced = async (count) => until(`${count} replaced`, async () => (await ticker.site.metrics())[REPLACED] > count, 20_000);
    await replaced(50);
    const begin = ticker.site.residentKib();
    await replaced(REPLACED_MIN);
    const end = ticker.site.residentKib();
    holds(begin - start < QUEUE_KIB_MAX, `${begin - start} KiB more before a quote was replaced`);
    holds(end - begin < QUEUE_KIB_MAX, `${end - begin} KiB more while ${REPLACED_MIN} were replaced`);
    holds((await number(slow, '#read')) <= read + 1, 'it reads all the same');
  },
  async 'has-the-newest-of-each'() {
    await slow.uncheck('#stopped');
    await until('replaced quotes', async () => (await number(slow, '#replaced')) > 0);
    ticker.hold();
    await becomes(() => table(slow), await settled(fast), 'what the slow one shows');
    ticker.letGo();
  },
  async 'reads-on'() {
    const replaced = await number(slow, '#replaced');
    const before = sum(await table(slow));
    await until('new quotes', async () => sum(await table(slow)) > before + 500);
    same(await number(slow, '#replaced'), replaced, 'replaced while it reads');
  },
  async 'fast-sees-every-quote'() {
    same(await number(fast, '#replaced'), 0, 'replaced quotes');
    holds((await number(fast, '#read')) > (await number(slow, '#read')), 'the slow one has read as much');
  },
  async 'without-streams'() {
    await fast.addInitScript(() => delete window.WebSocketStream);
    await fast.reload();
    await until('quotes', async () => (await number(fast, '#read')) > 500);
    same(await fast.isVisible('#stopped'), false, 'a page that can stop reading');
  },
  'ends-well': () => ticker.finish(),
});

/** What a page shows once nothing new comes. */
async function settled(page) {
  for (let last = ''; ; await pause(300)) {
    const now = JSON.stringify(await table(page));
    if (now === last) return JSON.parse(now);
    last = now;
  }
}
process.exit(0);
