// Ada's pages while bob tells her things: live, cut off, closed and opened again, and away for too long.
//
//   node examples/notifications/test.mjs TAIWA
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check. `cargo xtask interop examples/notifications` runs it; it needs redis-server. That
// a day may lie between two visits is shown by a clock that is only a number: `cargo test -p taiwa-cli days`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Example } from '../../interop/examples.mjs';
import { holds, runAll, same, until } from '../../interop/words.mjs';

const STEP_MS = 8_000;
const CHANNEL = 'notify:#ada';
const GAP = 'You missed more than the stream remembers: this is the list as it is now.';

const folder = mkdtempSync(join(tmpdir(), 'taiwa-notifications-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const start = (list, flags = []) =>
  Example.start('notifications', {
    taiwa: process.argv[2],
    command: [process.execPath, 'server.mjs', '0'],
    secrets: ['TAIWA_AUTH__JWT__SECRETS', 'TAIWA_API__KEYS'],
    settings: () => flags,
    env: { LIST_FILE: join(folder, list) },
  });
let app = await start('list.jsonl');

let due = []; // what ada was told, the oldest first
const shown = (page) => page.locator('#list li span').allInnerTexts();
const text = (page, selector, wanted) =>
  until(`"${wanted}" in ${selector}`, async () => (await page.innerText(selector)) === wanted, STEP_MS);
const all = async (page) => {
  await until(`${due.length} lines`, async () => (await page.locator('#list li').count()) >= due.length, STEP_MS);
  same(await shown(page), due.toReversed());
};

/** Asks the server part as a page of the one with this cookie does. */
function ask(path, what, cookie = '') {
  const headers = { 'content-type': 'application/json', cookie };
  return fetch(app.url + path, { method: 'POST', headers, body: JSON.stringify(what), signal: AbortSignal.timeout(STEP_MS) });
}

async function cookieOf(name) {
  return (await ask('login', { name })).headers.get('set-cookie').split(';')[0];
}

async function comeIn(page, name) {
  await page.fill('#user', name);
  await page.press('#user', 'Enter');
  await text(page, '#state', `${name}, connected`);
}

async function tell(words) {
  for (const it of words) {
    same((await ask('notify', { user: 'ada', text: it }, bobs)).status, 204);
    due.push(`bob: ${it}`);
  }
}

/** Resolves when taiwa has heard of everything: the server part says it behind its answer. */
const isSaid = () =>
  until('all is said', async () => {
    const { publications } = await app.site.api('history', { channel: CHANNEL, limit: 1, reverse: true });
    return publications[0]?.data?.id === due.length;
  }, STEP_MS);

/** Opens one more page of the same browser, and takes note of what it asks and what arrives in its stream. */
async function openAgain(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.asked = [];
  page.events = [];
  page.on('request', (request) => page.asked.push(new URL(request.url()).pathname));
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.eventSourceMessageReceived', ({ eventName, data }) => page.events.push(eventName === 'message' ? JSON.parse(data) : eventName));
  await page.goto(app.url);
  await text(page, '#state', 'ada, connected');
  return page;
}

let ada;
let bob;
let bobs;
let context;
await runAll({
  async 'come-in'() {
    [ada, bob] = await Promise.all([app.open(), app.open()]);
    context = ada.context();
    await ada.fill('#user', 'a b');
    await ada.press('#user', 'Enter');
    await text(ada, '#refusal', 'letters, digits, - and _');
    await Promise.all([comeIn(ada, 'ada'), comeIn(bob, 'bob')]);
    bobs = await cookieOf('bob');
  },
  async live() {
    for (const it of ['こんにちは', '<b>not bold</b>']) {
      await bob.fill('#to', 'ada');
      await bob.fill('#text', it);
      await bob.press('#text', 'Enter');
      due.push(`bob: ${it}`);
      await text(ada, '#coming', `bob: ${it}`);
    }
    await all(ada);
    await text(ada, '#unread', '2 new');
    same(await ada.title(), '(2) Notifications');
    same(await shown(bob), [], 'what bob sees');
  },
  async 'read-marks'() {
    const other = await openAgain(context);
    await all(other);
    await text(other, '#unread', '2 new');
    await ada.click('#list li:last-child button');
    await text(other, '#unread', '1 new');
    same(await other.locator('li.new span').allInnerTexts(), [due[1]]);
    await other.click('#all');
    await text(ada, '#unread', '');
    same(await ada.title(), 'Notifications');
    await other.close();
  },
  async cut() {
    app.proxy.shut();
    await text(ada, '#state', 'not connected: coming back');
    await tell(['while nobody', 'was reached']);
    await new Promise((resolve) => setTimeout(resolve, 200));
    same(await ada.locator('#list li').count(), 2, 'shown while cut off');
    app.proxy.open();
    await all(ada);
    await text(ada, '#state', 'ada, connected');
    await text(ada, '#gap', '');
  },
  async 'closed-and-opened'() {
    await ada.click('#all');
    await text(ada, '#unread', '');
    await ada.close();
    await tell(Array.from({ length: 300 }, (_, n) => `meanwhile ${n}`));
    await isSaid();
    ada = await openAgain(context);
    await all(ada);
    await text(ada, '#unread', '300 new');
    // What she marked as read in the page before may be news to its successor.
    const told = ada.events.filter((it) => !it.marked).map((it) => it.id);
    same(told, Array.from({ length: 300 }, (_, n) => n + 5), 'each once, in order, and nothing else');
    same(ada.asked.includes('/list'), false, 'the list was read');
    await text(ada, '#gap', '');
  },
  async 'nothing-new'() {
    await ada.reload();
    await all(ada);
    await ada.close();
    ada = await openAgain(context);
    await all(ada);
    await tell(['the next one']);
    await all(ada);
    same(ada.events.map((it) => it.id), [305]);
    same(ada.asked.includes('/list'), false, 'the list was read');
  },
  async 'away-too-long'() {
    await ada.close();
    await tell(['too', 'old']);
    await isSaid();
    await app.site.api('history_remove', { channel: CHANNEL });
    await tell(['still', 'there']);
    await isSaid();
    ada = await openAgain(context);
    await text(ada, '#gap', GAP);
    await all(ada);
    holds(ada.events.includes('taiwa:gap') && ada.asked.includes('/list'), 'it was told of the gap, and read the list');
  },
  async 'begun-anew'() {
    await ada.close();
    ada = await openAgain(context);
    await text(ada, '#gap', '');
    await app.site.restart();
    await text(ada, '#gap', GAP);
    await text(ada, '#state', 'ada, connected');
    await tell(['after all that']);
    await all(ada);
  },
  async 'a-hole-is-seen'() {
    const said = { id: due.length + 2, from: 'bob', text: 'the one before was never said', at: Date.now() };
    const asked = ada.asked.filter((it) => it === '/list').length;
    await app.site.api('publish', { channel: CHANNEL, data: said });
    await until('the list is read', () => ada.asked.filter((it) => it === '/list').length > asked, STEP_MS);
  },
  async 'for-ada-alone'() {
    const url = `${app.site.http}/sse/${encodeURIComponent(CHANNEL)}`;
    const origin = new URL(app.url).origin;
    for (const [headers, status] of [
      [{ cookie: bobs }, 403],
      [{}, 401],
      [{ cookie: await cookieOf('ada'), origin: 'https://elsewhere.example' }, 403],
      [{ cookie: await cookieOf('ada'), origin }, 200],
    ]) {
      const stop = new AbortController();
      const response = await fetch(url, { headers, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(STEP_MS)]) });
      same(response.status, status, JSON.stringify(Object.keys(headers)));
      stop.abort();
    }
    same((await ask('list', {})).status, 401, 'the list of a stranger');
    same((await ask('list', {}, `${bobs}x`)).status, 401, 'the list with a forged cookie');
  },
  async 'sent-away'() {
    await app.site.api('disconnect', { user: 'ada', code: 4003, reason: 'banned', may_return: false });
    await text(ada, '#state', 'not connected: banned');
    const asked = ada.asked.length;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    same(ada.asked.length, asked, 'requests of a page that was sent away for good');
  },
  'ends-well': () => app.finish(),
  async 'broker-remembers'() {
    const socket = join(folder, 'redis');
    const given = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', folder];
    const redis = spawn('redis-server', given, { stdio: 'ignore' });
    process.on('exit', () => redis.kill('SIGKILL'));
    await until('redis', () => existsSync(socket), STEP_MS);
    [app, due] = [await start('again.jsonl', ['--broker', `redis+unix://${socket}`]), []];
    ada = await app.open();
    context = ada.context();
    await comeIn(ada, 'ada');
    bobs = await cookieOf('bob');
    await tell(['one', 'two']);
    await all(ada);
    await ada.close();
    await tell(['while she was away']);
    await isSaid();
    process.kill(app.site.pid, 'SIGKILL');
    await app.site.restart();
    await tell(['behind the restart']);
    await isSaid();
    ada = await openAgain(context);
    await all(ada);
    same(ada.events.filter((it) => it.id > 2).length, 2, 'what she missed');
    same(ada.asked.includes('/list'), false, 'the list was read');
    await text(ada, '#gap', '');
    await app.finish();
    redis.kill('SIGTERM');
  },
});
process.exit(0);
