// Runs the checks of conformance/browser, a wasm module of our client, in a browser.
//
//   node BROWSER/wasm.mjs URL [BEGINNING..]      URL is what `browser-peer` prints
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check; with BEGINNINGs, of the checks whose names begin so.
import { within } from './checks.mjs';

const CHECK_MS = 30_000;

/** What a worker does besides, where there is no window: a check of messages and one of timers. */
const WORKER_CHECKS = ['talk/text_and_bytes_come_back', 'ends/a_peer_that_does_not_close_is_late'];

/** Runs in the page: has a worker of its own run a check. */
function inWorker([name, server, raw]) {
  const here = JSON.stringify(location.origin);
  const text = `
    const { default: init, run } = await import(${here} + '/checks.js');
    try {
      await init({ module_or_path: ${here} + '/checks_bg.wasm' });
      await run(...${JSON.stringify([name, server, raw])});
      postMessage('ok');
    } catch (error) {
      postMessage(String(error));
    }`;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { type: 'module' });
    worker.onmessage = ({ data }) => (data === 'ok' ? resolve() : reject(new Error(data)));
    worker.onerror = (event) => reject(new Error(`in the worker: ${event.message}`));
  });
}

/** Opens the page; resolves to it and to the promise that fails with the module's next panic. */
async function open(newPage, url) {
  const page = await newPage();
  const panicked = new Promise((_, reject) => {
    page.on('console', (message) => {
      if (message.text().includes('panicked at')) reject(new Error(message.text()));
    });
    page.on('pageerror', (error) => {
      // Firefox has connections that fail among the errors of the page; the checks make them fail.
      if (error.message.includes('ws://')) return;
      // The message of a panic says more than the trap that follows it.
      setTimeout(() => reject(error), 200);
    });
  });
  panicked.catch(() => {});
  await page.goto(url);
  const loaded = (async () => {
    while (!(await page.evaluate(() => Boolean(window.checks)))) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  loaded.catch(() => {});
  await within(Promise.race([loaded, panicked]), CHECK_MS, 'the page');
  return { page, panicked };
}

/**
 * Runs every check. `newPage` opens a tab; `streams` says whether the browser has `WebSocketStream`. Tabs are pages of
 * playwright or puppeteer, which agree in all that is used here.
 */
export async function run({ newPage, streams, quit }) {
  const [url, ...beginnings] = process.argv.slice(2);
  const server = `ws://${new URL(url).host}`;
  const raw = `ws://${new URL(url).searchParams.get('raw')}`;
  let failed = false;
  let at = await open(newPage, url);
  const all = await at.page.evaluate(() => window.checks.names());
  const names = all.filter((name) => streams || !name.startsWith('WebSocketStream/'));
  const worker = names.filter((name) => WORKER_CHECKS.some((it) => name.endsWith(it)));
  for (const name of [...names, ...worker.map((it) => `worker/${it}`)]) {
    if (beginnings.length > 0 && !beginnings.some((it) => name.startsWith(it))) continue;
    try {
      const check = name.startsWith('worker/')
        ? at.page.evaluate(inWorker, [name.slice('worker/'.length), server, raw])
        : at.page.evaluate((args) => window.checks.run(...args), [name, server, raw]);
      check.catch(() => {});
      await within(Promise.race([check, at.panicked]), CHECK_MS, name);
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAIL ${name}: ${String(error.message).replaceAll('\n', ' | ')}`);
      // A module that panicked is not to be used again.
      await at.page.close().catch(() => {});
      at = await open(newPage, url);
    }
  }
  await within(quit(), 5_000, 'quitting').catch(() => {});
  process.exit(failed ? 1 : 0);
}
