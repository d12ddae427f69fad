// npm `eventsource` and `curl -N` against a `taiwa serve` of their own.
//
//   node eventsource/node.mjs TAIWA
//
// prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`, one line a check.
import { EventSource } from 'eventsource';
import { WebSocket } from 'undici';

import { Proxy, Site, controls } from '../site.mjs';
import { runAll } from '../words.mjs';
import { SETTINGS, checksOf } from './checks.mjs';
import { curlChecks } from './curl.mjs';

const site = await Site.start(process.argv[2], SETTINGS);
const proxy = await Proxy.before(site);
const control = controls(site, proxy);
await runAll({
  ...curlChecks(site, WebSocket),
  ...checksOf({ EventSource, WebSocket, near: proxy.http, far: site.http, control }),
  'ends-well': () => site.finish(),
});
process.exit(0);
