// Readers that stop to read, under each policy for them, with the program's memory watched: what waits for them is
// bounded, and once they read again each has what its policy says, or was told what it has not.
//
//   node crowd/slow.mjs TAIWA
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check.
import http from 'node:http';

import * as json from 'centrifuge';
import { WebSocket } from 'ws';

import { Clients } from '../centrifuge/clients.mjs';
import { readEvents } from '../together/programs.mjs';
import { Speaker } from '../eventsource/clients.mjs';
import { Site } from '../site.mjs';
import { holds, runAll, same, until } from '../words.mjs';

const COUNT = 120;
const BYTES = 256 << 10;
const QUEUE_KIB = 512;
const READERS = 4;
const WAIT_MS = 60_000;

const policy = (name, slow, history) => `
[[namespace]]
name = "${name}"
history_size = ${history}
recovery = "stream"
slow_readers = "${slow}"
queue_max = "${QUEUE_KIB}KiB"
kept_max = 4
rights = { subscribe = "all", publish = "all" }
`;
const SETTINGS = `
[limits.channel]
history_max = "64MiB"

[limits.connection]
outbox_max = "${QUEUE_KIB}KiB"

[times]
slow_after = "100ms"
close_timeout = "1s"
write_timeout = "60s"
${policy('disconnect', 'disconnect', 1000)}
${policy('drop', 'drop-oldest', 4)}
${policy('latest', 'keep-latest', 4)}
${policy('pause', 'pause', 4)}
`;

const payload = (n) => `${n}:`.padEnd(BYTES, 'x');
const numberOf = (it) => parseInt(it, 10);

/** npm `ws` without permessage-deflate, which would make next to nothing of what is published here. */
class Uncompressed extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}

/** npm `centrifuge` over npm `ws`, whose socket can stop to read. */
async function slowCentrifuge(site, channel) {
  const sockets = [];
  class Slowing extends Uncompressed {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  }
  const clients = new Clients('json-websocket', { json }, { websocket: Slowing });
  // It is not to hang up for want of pings while it does not read, nor of an answer with all that it missed.
  const client = await clients.connect(site.http, { maxServerPingDelay: 120_000, timeout: WAIT_MS });
  const subscription = await clients.subscribe(client, channel, { recoverable: true });
  return {
    story: subscription.story,
    heard: () => subscription.values().map(numberOf),
    pause: () => sockets.at(-1).pause(),
    resume: () => sockets.at(-1).resume(),
    close: () => client.disconnect(),
  };
}

/** npm `ws` as a plain client. */
async function slowPlain(site, channel) {
  const socket = new Uncompressed(`${site.ws}/${channel}`);
  const heard = [];
  const it = { heard: () => heard, pause: () => socket.pause(), resume: () => socket.resume(), close: () => socket.terminate() };
  socket.on('message', (data) => heard.push(numberOf(data.toString())));
  socket.on('close', (code, reason) => (it.ended = `${code} ${reason}`));
  socket.on('error', (error) => (it.ended = error.message));
  await new Promise((resolve) => socket.once('open', resolve));
  return it;
}

/** An event stream that is not read. */
async function slowEvents(site, channel) {
  let text = '';
  const it = { heard: () => readEvents(text).map(({ data }) => numberOf(data)), text: () => text };
  const request = http.get(`${site.http}/sse/${channel}`, { agent: false });
  const response = await new Promise((resolve) => request.once('response', resolve));
  response.setEncoding('utf8').on('data', (more) => (text += more));
  response.on('error', () => {}).on('close', () => (it.ended = true));
  Object.assign(it, { pause: () => response.pause(), resume: () => response.resume(), close: () => request.destroy() });
  await until('an event stream', () => text.includes('taiwa:here'));
  return it;
}

const site = await Site.start(process.argv[2], SETTINGS);
let peakKib = 0;

/** Has readers stop, publishes far more than kernels keep for them, and lets them read again. */
async function flood(channel) {
  const slow = {
    centrifuge: await Promise.all(Array.from({ length: READERS }, () => slowCentrifuge(site, channel))),
    plain: await Promise.all(Array.from({ length: READERS }, () => slowPlain(site, channel))),
    events: await Promise.all(Array.from({ length: READERS }, () => slowEvents(site, channel))),
  };
  const all = Object.values(slow).flat();
  const speaker = await Speaker.open(Uncompressed, `${site.ws}/${channel}?echo=true`);
  await speaker.say(payload(1));
  await until('all hear', () => all.every((it) => it.heard().length === 1));
  for (const it of all) it.pause();
  for (let n = 2; n <= COUNT; n += 1) {
    await speaker.say(payload(n));
    peakKib = Math.max(peakKib, site.residentKib());
  }
  for (const it of all) it.resume();
  same(speaker.messages.map(numberOf), Array.from({ length: COUNT }, (_, n) => n + 1), 'who reads gets all');
  return { ...slow, all, speaker };
}

const numbers = (count) => Array.from({ length: count }, (_, n) => n + 1);
const grows = (all) => all.every((it, n) => n === 0 || it > all[n - 1]);

/**
 * Where publications are dropped: order is kept, who is to get the newest gets it, who is to be told of what it missed is
 * told, and what is said afterwards reaches all.
 */
async function drops(channel, { newest, tells }) {
  const { all, centrifuge, plain, events, speaker } = await flood(channel);
  const due = { all, centrifuge }[newest];
  await until('the newest is heard', () => due.every((it) => it.heard().at(-1) === COUNT), WAIT_MS).catch(() => {});
  for (const it of due) same(it.heard().at(-1), COUNT, `the newest of ${it.heard().length}, ${it.ended ?? ''}`);
  await speaker.say(payload(COUNT + 1));
  await until('all hear again', () => all.every((it) => it.heard().at(-1) === COUNT + 1)).catch(() => {});
  for (const it of all) {
    const heard = it.heard();
    holds(grows(heard) && heard.at(-1) === COUNT + 1, `heard ${heard.slice(-6)} of ${heard.length}, ${it.ended ?? ''}`);
    holds(heard.length < COUNT, 'nothing was dropped: the check floods too little');
  }
  same(plain.map((it) => it.ended), plain.map(() => undefined), 'plain clients that were sent away');
  const isGap = ({ wasRecovering, recovered }) => wasRecovering && !recovered;
  same(centrifuge.map((it) => it.story.all('subscribed').some(isGap)), centrifuge.map(() => tells), 'told, centrifuge');
  same(events.map((it) => it.text().includes('event: taiwa:gap\n')), events.map(() => tells), 'told, event streams');
  for (const it of [...all, speaker]) it.close();
}

await runAll({
  async 'slow-disconnect'() {
    const { all, centrifuge, plain, events, speaker } = await flood('disconnect:a');
    await until('Centrifuge clients have all', () => centrifuge.every((it) => it.heard().length >= COUNT), WAIT_MS).catch(() => {});
    for (const it of centrifuge) {
      same(it.heard(), numbers(COUNT));
      const back = it.story.all('subscribed');
      holds(back.length > 1 && back.slice(1).every(({ recovered }) => recovered), 'it did not come back and recover');
    }
    await until('the others are sent away', () => [...plain, ...events].every((it) => it.ended));
    for (const it of [...plain, ...events]) {
      const heard = it.heard();
      same(heard, numbers(heard.length), 'up to its end');
      holds(heard.length < COUNT, 'it was not sent away in time');
    }
    for (const it of [...all, speaker]) it.close();
  },
  'slow-drop-oldest': () => drops('drop:a', { newest: 'all', tells: true }),
  // The newest of a key takes the place of older ones: nothing is missing that counts.
  'slow-keep-latest': () => drops('latest:a', { newest: 'all', tells: false }),
  // Centrifuge's clients subscribe again, and get what the history still has.
  'slow-pause': () => drops('pause:a', { newest: 'centrifuge', tells: true }),
  async 'slow-memory'() {
    // The log of 30 MiB; for each of twelve readers at most its queue, its outbox and a frame; what the program had.
    const boundKib = (COUNT * BYTES) / 1024 + 4 * 3 * READERS * (2 * QUEUE_KIB + BYTES / 1024) + 64 * 1024;
    holds(peakKib < boundKib, `${peakKib} KiB at the worst, ${boundKib} were to do`);
  },
  async 'slow-counted'() {
    const measured = await site.metrics();
    for (const action of ['disconnect', 'drop', 'replace', 'pause']) {
      const name = `taiwa_slow_consumers_total{action="${action}"}`;
      holds(measured[name] >= READERS, `${name} is ${measured[name]}`);
    }
  },
  'ends-well': () => site.finish(),
}, console.log, 150_000);
console.log(`peak ${peakKib} KiB`);
process.exit(0);
