// Three devices and the pages that watch them: last values, orders, and who went in whatever way.
//
//   node examples/telemetry/test.mjs TAIWA PYTHON      PYTHON has the package `websockets`
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check. `cargo xtask interop examples/telemetry` runs it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { Example } from '../../interop/examples.mjs';
import { token } from '../../interop/site.mjs';
import { holds, runAll, same, until, within } from '../../interop/words.mjs';

const GONE_MS = 3_000; // a device that ends, however it does
const SILENT_MS = 10_000 + GONE_MS; // one that only falls silent: ping_after and pong_within of taiwa.toml
const STEP_MS = 5_000;

const [taiwa, python = 'python3'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'taiwa-telemetry-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const telemetry = await Example.start('telemetry', {
  taiwa,
  command: [python, 'server.py', '0'],
  secrets: ['TAIWA_AUTH__JWT__SECRETS', 'TAIWA_API__KEYS', 'TAIWA_WEBHOOKS__SECRETS'],
  settings: (url) => ['occupied', 'vacated'].flatMap((it) => ['--set', `webhooks.url.${it}=${url}taiwa`]),
  env: { OPERATOR_PASSWORD: 'password of the checks', FLEET_FILE: join(folder, 'fleet.json') },
});

const started = [];
process.on('exit', () => started.forEach((it) => it.kill('SIGKILL')));

/** A device of its own process. */
class Device {
  #lines = [];

  constructor(name, user = name) {
    const claims = { sub: user, aud: 'telemetry', exp: Math.floor(Date.now() / 1000) + 600 };
    const env = { ...process.env, TAIWA_URL: telemetry.proxy.http, DEVICE_TOKEN: token(claims) };
    this.program = spawn(python, ['device.py', name], { cwd: fileURLToPath(new URL('.', import.meta.url)), env });
    for (const it of [this.program.stdout, this.program.stderr]) createInterface(it).on('line', (line) => this.#lines.push(line));
    this.ended = new Promise((resolve) => this.program.once('close', (code, signal) => resolve(code ?? signal)));
    started.push(this.program);
  }

  says(line) {
    return until(`"${line}" of ${this.#lines.slice(-3)}`, () => this.#lines.includes(line), STEP_MS);
  }

  get lines() {
    return this.#lines;
  }
}

const row = (page, device) => page.locator('#devices tr', { has: page.getByRole('rowheader', { name: device, exact: true }) });
const cells = (page, device) => row(page, device).locator('td').allInnerTexts();
const stateOf = async (page, device) => (await cells(page, device))[1];
const becomes = (page, device, state, ms = STEP_MS) =>
  until(`${device} ${state}`, async () => (await stateOf(page, device))?.startsWith(state), ms);
const measures = (page, device) =>
  until(`a value of ${device}`, async () => /^\d+\.\d °C$/.test((await cells(page, device))[0]), STEP_MS);
const connected = (page, ms = STEP_MS) => until('connected', async () => (await page.innerText('#state')) === 'connected', ms);
const newest = (page) => page.locator('#log li').first().innerText();

async function lastOf(device) {
  const { publications } = await telemetry.site.api('history', { channel: `device:#${device}`, limit: 1 });
  return publications[0].data;
}

async function comeIn() {
  const page = await telemetry.open();
  await page.fill('#password', 'password of the checks');
  await page.press('#password', 'Enter');
  await connected(page);
  return page;
}

let page;
let silentSince;
const devices = {};
await runAll({
  async 'come-in'() {
    page = await telemetry.open();
    await page.fill('#password', 'another');
    await page.press('#password', 'Enter');
    await until('the refusal', async () => (await page.innerText('#refusal')) === 'that is not it', STEP_MS);
    same(await page.locator('#devices tr').count(), 0, 'devices of a stranger');
    await page.close();
    page = await comeIn();
  },
  async 'devices-come'() {
    for (const name of ['pump2', 'pump1', 'pump3']) devices[name] = new Device(name);
    for (const name of ['pump1', 'pump2', 'pump3']) {
      await becomes(page, name, 'online', STEP_MS);
      await measures(page, name);
    }
    same(await page.locator('#devices th').allInnerTexts(), ['pump1', 'pump2', 'pump3'], 'in the order of the alphabet');
  },
  async live() {
    const before = await cells(page, 'pump1');
    await until('a later measurement', async () => (await cells(page, 'pump1'))[2] > before[2], STEP_MS);
  },
  async orders() {
    // For the check `silent`: its connection stays open, and nobody answers any more, as behind a network that is gone.
    devices.pump3.program.kill('SIGSTOP');
    silentSince = Date.now();
    for (const name of ['pump1', 'pump2']) {
      await page.selectOption(`[aria-label="${name} measures every"]`, '60');
      await devices[name].says('every 60');
      // It says one more thing at its old pace.
      await until(`${name} at its new pace`, () => lastOf(name).then((it) => it.every === 60), STEP_MS);
    }
    holds((await newest(page)).endsWith('pump2 is to measure every 60 s'), await newest(page));
  },
  async 'last-value-at-once'() {
    const other = await comeIn();
    // Their next one is a minute away.
    for (const name of ['pump1', 'pump2']) {
      await measures(other, name);
      same(await cells(other, name), await cells(page, name), `what two pages show of ${name}`);
    }
    await other.close();
  },
  async 'for-nobody-else'() {
    const before = await cells(page, 'pump2');
    const impostor = new Device('pump2', 'pump3');
    same(await within(impostor.ended, STEP_MS, 'the end of the impostor'), 1);
    await impostor.says('not connected: 4403 this is not allowed');
    same(await cells(page, 'pump2'), before, 'pump2');
  },
  async 'goes-by-itself'() {
    devices.pump1.program.kill('SIGINT');
    await becomes(page, 'pump1', 'offline since ', GONE_MS);
    holds((await newest(page)).endsWith('pump1 is offline'), await newest(page));
    await within(devices.pump1.ended, STEP_MS, 'its end');
  },
  async killed() {
    devices.pump2.program.kill('SIGKILL');
    await becomes(page, 'pump2', 'offline since ', GONE_MS);
    holds((await newest(page)).endsWith('pump2 is offline'), await newest(page));
  },
  async silent() {
    await becomes(page, 'pump3', 'offline since ', silentSince + SILENT_MS - Date.now());
    devices.pump3.program.kill('SIGCONT');
    await becomes(page, 'pump3', 'online', SILENT_MS);
  },
  async 'order-waits'() {
    await page.selectOption('[aria-label="pump2 measures every"]', '5');
    const since = await stateOf(page, 'pump2');
    // Pages that go before they have all their answers are nothing to complain about.
    for (let n = 0; n < 10; n += 1) await page.reload();
    await connected(page);
    await becomes(page, 'pump2', 'offline');
    same(await stateOf(page, 'pump2'), since, 'pump2 behind a reload');
    devices.pump2 = new Device('pump2');
    await becomes(page, 'pump2', 'online');
    await devices.pump2.says('every 5');
  },
  async restart() {
    const gone = await stateOf(page, 'pump1');
    await telemetry.site.restart();
    // The next look of server.py is 10 s away at most, and page and devices come back meanwhile.
    await until('pump2 comes back', () => devices.pump2.lines.filter((it) => it === 'connected').length === 2, 15_000);
    await connected(page, 15_000);
    await measures(page, 'pump2');
    await becomes(page, 'pump2', 'online', 15_000);
    same(await stateOf(page, 'pump1'), gone, 'pump1, which is gone since before');
  },
  async 'ends-well'() {
    for (const it of Object.values(devices)) it.program.kill('SIGKILL');
    await telemetry.finish();
  },
});
process.exit(0);
