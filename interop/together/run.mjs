// Clients of all kinds in ONE channel of a `taiwa serve` with no configuration but a key: text, JSON and binary said by many of
// them, and what each hears compared with the table in ARCHITECTURE.md.
//
//   node together/run.mjs TAIWA PYTHON
//
// prints `ok NAME` or `FAIL NAME: why`, one line a member.
import * as json from 'centrifuge';
import * as protobuf from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import * as phoenixPackage from 'phoenix';
import { io } from 'socket.io-client';
import old from 'socket.io-client-2';
import msgpack from 'socket.io-msgpack-parser';
import { WebSocket as UndiciWebSocket } from 'undici';
import { WebSocket } from 'ws';

import { launch as launchChromium } from '../chromium/launch.mjs';
import { launch as launchFirefox } from '../firefox/launch.mjs';
import { servePages } from '../pages.mjs';
import { API_KEY, Site } from '../site.mjs';
import { runAll, same, until } from '../words.mjs';
import { join } from './members.mjs';
import { curl, python, readEvents, readLines, readObjects } from './programs.mjs';
import { readTables } from './table.mjs';

const CHANNEL = 'together';
const [taiwa, interpreter] = process.argv.slice(2);

const bytesOf = (text) => Array.from(Buffer.from(text));
const text = (it) => ({ kind: 'Text', text: it, bytes: bytesOf(it) });
const binary = (...bytes) => ({ kind: 'Binary', bytes });
const jsonText = (it) => ({ kind: 'Json', text: it, bytes: bytesOf(it), value: JSON.parse(it) });
const jsonOf = (value) => jsonText(JSON.stringify(value));
/** Said under a name, by those whose events have one. */
const named = (event, it) => ({ ...it, event });

/** What is said, and by whom. */
const SAID = [
  ['node-plain', text('対話 "は"\n二人 𠮷 \\ から')],
  ['node-plain', text('ends\r\nof\rlines\n')],
  ['node-plain', text('{"looks": "like JSON"}')],
  ['node-plain', text('')],
  ['node-plain', binary(0, 255, 16, 128)],
  ['node-plain', binary()],
  ['node-plain', binary(...bytesOf('{"bytes":"like JSON"}'))],
  ['node-json-websocket', jsonOf({ 対話: ['a"b\\', null, -1.5e-7, { '': [] }], long: 'x'.repeat(70_000) })],
  ['node-json-stream', jsonOf('only a string')],
  ['node-json-sse', jsonOf(null)],
  ['node-protobuf-websocket', jsonText('{ "spread":\n [1,\n 2.50] }')],
  ['node-protobuf-websocket', binary(1, 2, 3, 254)],
  ['node-protobuf-stream', binary(...bytesOf('no JSON'))],
  ['node-protobuf-stream', jsonText('[true]')],
  ['node-phoenix-websocket', named('greeting', jsonOf({ topic: ['鳥', 1.5] }))],
  ['node-phoenix-websocket', named('greeting', binary(0, 7, 255))],
  ['node-phoenix-longpoll', named('message', jsonOf('by requests'))],
  ['node-phoenix-longpoll', named('greeting', binary(3, 2, 1))],
  ['node-socketio-websocket', named('greeting', jsonOf({ 対話: [null, 'x'.repeat(70_000)] }))],
  ['node-socketio-websocket', named('greeting', binary(0, 8, 255))],
  ['node-socketio-polling', named('message', jsonOf('a text'))],
  ['node-socketio-polling', named('greeting', binary(4, 3))],
  ['node-socketio-msgpack', named('greeting', jsonOf([1.5, { 'a"b': null }]))],
  ['node-socketio-msgpack', named('greeting', binary(5))],
  ['node-socketio-old', named('greeting', jsonOf({ old: 2 }))],
  ['node-socketio-old', named('greeting', binary(2, 0))],
  ['chromium-plain', text('ページから')],
  ['chromium-plain', binary(200, 201)],
  ['chromium-json-websocket', jsonOf({ page: 1 })],
  ['chromium-protobuf-stream', binary(9, 0, 9)],
  ['chromium-json-sse', jsonOf([1, 'sse'])],
  ['chromium-phoenix-websocket', named('greeting', jsonOf({ page: 'of Phoenix' }))],
  ['chromium-socketio-websocket', named('greeting', binary(1, 4))],
  ['firefox-plain', text('火狐')],
  ['firefox-phoenix-websocket', named('greeting', binary(6, 6))],
  ['firefox-socketio-websocket', named('greeting', jsonOf({ page: 3 }))],
  ['firefox-plain', binary(42)],
  ['firefox-json-stream', jsonOf({ page: 2 })],
  ['firefox-protobuf-websocket', jsonText(' 7 ')],
  // As Python writes it: the bytes go through as they are.
  ['python-json', jsonText('{"python": "\\u5bfe\\u8a71"}')],
  ['python-protobuf', jsonText('{"python": "bytes"}')],
  ['python-protobuf', binary(0, 1, 0)],
  ['python-socketio', named('greeting', jsonText('{"python":"events"}'))],
  ['python-socketio', named('greeting', binary(1, 0, 1))],
  ['api', text('テキスト "a"\n')],
  ['api', jsonText('{ "as": ["it", 1.50] }')],
  ['api', binary(254, 0)],
  ['node-plain', text('the last')],
];

/** Which row of the table a member is told by. */
function row(name) {
  if (name.endsWith('-plain')) return 'plain';
  if (name.endsWith('-events')) return 'sse, raw';
  if (/-(objects|lines)$/.test(name)) return 'sse, objects and lines';
  if (name.endsWith('-phoenix-websocket')) return 'phoenix, second serializer by WebSocket';
  if (name.endsWith('-phoenix-longpoll')) return 'phoenix, first serializer, or long poll';
  if (name.includes('socketio')) return name.endsWith('-msgpack') ? 'socketio, MessagePack' : 'socketio, text';
  return name.includes('-json') ? 'centrifuge, JSON' : 'centrifuge, Protocol Buffers';
}

async function joinInNode(site) {
  const environment = { websocket: WebSocket, eventsource: EventSource, fetch, readableStream: ReadableStream };
  const packages = { json, protobuf };
  const phoenix = { ...phoenixPackage, WebSocket };
  const here = { EventSource, WebSocket: UndiciWebSocket, packages, environment, phoenix, io: Object.assign(io, { old, msgpack }), http: site.http, channel: CHANNEL };
  return prefixed('node', await join(here));
}

/** The members of a page; what they heard is fetched by `listen`. */
async function joinInPage(word, page, origin, site) {
  await page.goto(origin);
  const names = await page.evaluate(async (it) => {
    window.crowd = await import('/together/page.mjs');
    return window.crowd.join(it);
  }, { http: site.http, channel: CHANNEL });
  let heard = {};
  const listen = async () => (heard = JSON.parse(await page.evaluate(() => window.crowd.heard())));
  const members = names.map((name) => [
    name,
    { listen, heard: () => heard[name] ?? [], say: (payload) => page.evaluate((it) => window.crowd.say(it), { name, payload }) },
  ]);
  return prefixed(word, Object.fromEntries(members));
}

async function joinAsPrograms(site) {
  const at = `${site.http}/sse/${CHANNEL}`;
  return {
    'curl-events': await curl(at, 'text/event-stream', readEvents),
    'curl-objects': await curl(`${at}?format=json`, 'text/event-stream', readObjects),
    'curl-lines': await curl(at, 'application/x-ndjson', readLines),
    'python-json': await python(interpreter, site.ws, CHANNEL, 'json'),
    'python-protobuf': await python(interpreter, site.ws, CHANNEL, 'protobuf'),
    'python-socketio': await python(interpreter, site.http, CHANNEL, 'socketio'),
  };
}

/** Who speaks through the HTTP API, and hears nothing. */
function speakByApi(site) {
  const forms = {
    Text: ({ text: it }) => ({ text: it }),
    Binary: ({ bytes }) => ({ base64: Buffer.from(bytes).toString('base64') }),
  };
  return async (payload) => {
    // JSON is written as it stands: its text is to arrive.
    const form = payload.kind === 'Json' ? `{"data":${payload.text}}` : JSON.stringify(forms[payload.kind](payload));
    await site.api('publish', form.replace('{', `{"channel":"${CHANNEL}",`));
  };
}

function prefixed(word, members) {
  return Object.fromEntries(Object.entries(members).map(([name, it]) => [`${word}-${name}`, it]));
}

const pages = await servePages();
const site = await Site.start(taiwa, `[api]\nkeys = ["${API_KEY}"]`, ['--origin', pages.origin]);
const [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
const all = await Promise.all([
  joinInNode(site),
  joinInPage('chromium', await chromium.newPage(), pages.origin, site),
  joinInPage('firefox', await firefox.newPage(), pages.origin, site),
  joinAsPrograms(site),
]);
const members = Object.assign({}, ...all);
const api = speakByApi(site);
for (const [who, payload] of SAID) await (who === 'api' ? api(payload) : members[who].say(payload));

let means;
const check = (name) => async () => {
  const { heard, listen } = members[name];
  await until(`${SAID.length} publications, ${heard().length} now`, async () => {
    if (heard().length >= SAID.length) return true;
    await listen?.();
    return heard().length >= SAID.length;
  });
  heard().forEach((it, n) => same(it, means(row(name), SAID[n][1]), `${n + 1}, by ${SAID[n][0]}`));
  same(heard().length, SAID.length, 'publications');
};
await runAll({
  async table() {
    means = readTables();
  },
  ...Object.fromEntries(Object.keys(members).map((name) => [name, check(name)])),
  'ends-well': () => site.finish(),
});
for (const { end } of Object.values(members)) end?.();
await Promise.race([Promise.all([chromium.close(), firefox.close()]), new Promise((resolve) => setTimeout(resolve, 5_000))]);
process.exit(0);
