// Runs the checks of conformance/browser in Chromium, the module's own and through both interfaces of the browser.
//
//   node chromium/wasm.mjs URL [BEGINNING..]      URL is what `browser-peer` prints
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check; with BEGINNINGs, of the checks whose names begin so.
import { within } from '../checks.mjs';
import { launch } from './launch.mjs';

const CHECK_MS = 30_000;

const [url, ...beginnings] = process.argv.slice(2);
const server = `ws://${new URL(url).host}`;
const raw = `ws://${new URL(url).searchParams.get('raw')}`;
const browser = await launch();

/** Opens the page; resolves to it and to the promise that fails with the module's next panic. */
async function open() {
  const page = await browser.newPage();
  const panicked = new Promise((_, reject) => {
    page.on('console', (message) => {
      if (message.text().includes('panicked at')) reject(new Error(message.text()));
    });
    page.on('pageerror', (error) => setTimeout(() => reject(error), 200));
  });
  panicked.catch(() => {});
  await page.goto(url);
  const loaded = page.waitForFunction(() => window.checks, undefined, { timeout: CHECK_MS });
  loaded.catch(() => {});
  await Promise.race([loaded, panicked]);
  return { page, panicked };
}

let at = await open();
let failed = false;
const names = await at.page.evaluate(() => window.checks.names());
for (const name of names) {
  if (beginnings.length > 0 && !beginnings.some((it) => name.startsWith(it))) continue;
  try {
    const run = at.page.evaluate((args) => window.checks.run(...args), [name, server, raw]);
    run.catch(() => {});
    await within(Promise.race([run, at.panicked]), CHECK_MS, name);
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL ${name}: ${String(error.message).replaceAll('\n', ' | ')}`);
    // A module that panicked is not to be used again.
    await at.page.close();
    at = await open();
  }
}
await within(browser.close(), 5_000, 'quitting').catch(() => {});
process.exit(failed ? 1 : 0);
