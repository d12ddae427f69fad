// npm `phoenix` in Chromium, all kinds of clients at the same time, each in a tab and against a `taiwa serve` of its own, from
// a page of another origin.
//
//   node phoenix/chromium.mjs TAIWA
//
// prints `ok KIND/NAME`, `FAIL KIND/NAME: why` or `skip KIND/NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { servePages } from '../pages.mjs';
import { runAll } from '../words.mjs';
import { openAll, printUnder } from './site.mjs';

const pages = await servePages();
const [browser, sites] = await Promise.all([launch(), openAll(process.argv[2], ['--origin', pages.origin])]);

async function run({ kind, site, near, far, control }) {
  const print = printUnder(kind);
  const page = await browser.newPage();
  await page.exposeFunction('control', (name, given) => control(name, ...given));
  await page.exposeFunction('tell', print);
  await page.goto(pages.origin);
  await page.evaluate(async (it) => (await import('/phoenix/page.mjs')).run(it), { kind, near, far });
  await page.close();
  await runAll({ 'ends-well': () => site.finish() }, print);
}

await Promise.all(sites.map(run));
await browser.close();
process.exit(0);
