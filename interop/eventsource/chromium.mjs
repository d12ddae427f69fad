// Chromium's `EventSource` against a `taiwa serve` of its own, from a page of another origin.
//
//   node eventsource/chromium.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { launch } from '../chromium/launch.mjs';
import { servePages } from '../pages.mjs';
import { Proxy, Site, controls } from '../site.mjs';
import { runAll } from '../words.mjs';
import { SETTINGS } from './checks.mjs';

const pages = await servePages();
const [browser, site] = await Promise.all([launch(), Site.start(process.argv[2], SETTINGS, ['--origin', pages.origin])]);
const proxy = await Proxy.before(site);
const page = await browser.newPage();
await page.exposeFunction('control', controls(site, proxy));
await page.exposeFunction('tell', (line) => console.log(line));
await page.goto(pages.origin);
const given = { near: proxy.http, far: site.http };
await page.evaluate(async (it) => (await import('/eventsource/page.mjs')).run(it), given);
await runAll({ 'ends-well': () => site.finish() });
await browser.close();
process.exit(0);
