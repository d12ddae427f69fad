// What the checks of the hub's clients share: a `taiwa serve` of their own, a proxy in front of it that they can cut,
// tokens, and one line a check. Imports nothing but node itself.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { within } from './words.mjs';

const START_MS = 20_000;
const STOP_MS = 15_000;

/** The secret of the tokens that `token` makes; a site takes them if its TOML has `[auth.jwt]` with it. */
export const TOKEN_SECRET = 'a secret of at least thirty-two bytes';
export const API_KEY = 'a-key-of-the-checks-and-of-nobody-else';

const scratch = mkdtempSync(join(tmpdir(), 'taiwa-site-'));
const sites = new Set();
let files = 0;
process.on('exit', () => {
  for (const site of sites) site.kill();
  rmSync(scratch, { recursive: true, force: true });
});

/** Nobody waits for clients to leave one after the other. */
const AT_ONCE = ['--set', 'times.drain_period=off'];

/** One `taiwa serve`, which can end and come back on its port. */
export class Site {
  #program;
  #flags;
  #lines = [];
  #admin;
  #inside = [];

  /**
   * Starts with a file of `toml`, and resolves once it listens: on any port, or on this one. Its place may be another
   * address than that of loopback, and a command that it runs inside of.
   */
  static async start(taiwa, toml = '', flags = [], port = 0, { host = '127.0.0.1', inside = [] } = {}) {
    files += 1;
    const file = join(scratch, `${files}.toml`);
    writeFileSync(file, toml);
    const admin = join(scratch, `${files}.sock`);
    const site = new Site(taiwa, [...flags, '--config', file, '--log', 'warn', '--admin-listen', `unix:${admin}`]);
    site.#admin = admin;
    [site.host, site.#inside] = [host, inside];
    await site.#begin(`${host}:${port}`);
    return site;
  }

  /** Kills it with -9 and returns what starts it again on the same port. */
  async die() {
    this.#program.kill('SIGKILL');
    await this.ended;
    return () => this.#begin(`${this.host}:${this.port}`);
  }

  constructor(taiwa, flags) {
    this.taiwa = taiwa;
    this.#flags = flags;
    sites.add(this);
  }

  async #begin(listen) {
    const command = [...this.#inside, this.taiwa, 'serve', '--listen', listen, ...AT_ONCE, ...this.#flags];
    this.#program = spawn(command[0], command.slice(1));
    const program = this.#program;
    this.ended = new Promise((resolve) => program.once('close', (code, signal) => resolve(code ?? signal)));
    createInterface(program.stderr).on('line', (line) => this.#lines.push(line));
    const first = new Promise((resolve) => createInterface(program.stdout).once('line', resolve));
    const end = this.ended.then((code) => {
      throw new Error(`taiwa serve ended with ${code}: ${this.#lines.slice(-3).join(' | ')}`);
    });
    end.catch(() => {});
    const url = new URL(await within(Promise.race([first, end]), START_MS, 'the URL of a server'));
    this.http = url.origin;
    this.ws = url.origin.replace('http', 'ws');
    this.port = Number(url.port);
  }

  get pid() {
    return this.#program.pid;
  }

  /** Ends it as an administrator would; resolves to its exit code. */
  stop() {
    this.#program.kill('SIGTERM');
    return within(this.ended, STOP_MS, 'the end of a server');
  }

  /** Ends it and starts it again on the same port: all that it knew is gone. */
  async restart() {
    await this.stop();
    await this.#begin(`${this.host}:${this.port}`);
  }

  kill() {
    sites.delete(this);
    this.#program?.kill('SIGKILL');
  }

  /** Stops it and complains if it did not end well, or said that something inside went wrong that is not `known`. */
  async finish(known = /(?!)/) {
    const code = await this.stop();
    sites.delete(this);
    const bad = this.#lines.filter((line) => /panick|ERROR/.test(line) && !known.test(line));
    if (code !== 0 || bad.length > 0) throw new Error(`ended with ${code}: ${bad.slice(0, 3).join(' | ')}`);
  }

  /** Memory in KiB that the program has in use now. */
  residentKib() {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]);
  }

  /** Resolves to the measurements of the admin listener, each number by its name and labels. */
  async metrics() {
    const response = await new Promise((resolve, reject) => {
      http.get({ socketPath: this.#admin, path: '/metrics' }, resolve).on('error', reject);
    });
    let text = '';
    for await (const it of response.setEncoding('utf8')) text += it;
    const lines = text.split('\n').filter((it) => it && !it.startsWith('#'));
    return Object.fromEntries(lines.map((it) => [it.slice(0, it.lastIndexOf(' ')), Number(it.slice(it.lastIndexOf(' ') + 1))]));
  }

  /** Asks the HTTP API, with a value or with a text of JSON, and resolves to its answer. */
  async api(method, body) {
    const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
    // The certificate is one of the checks.
    const options = { method: 'POST', headers, rejectUnauthorized: false, signal: AbortSignal.timeout(5_000) };
    const { request } = this.http.startsWith('https:') ? https : http;
    const response = await new Promise((resolve, reject) => {
      const asked = request(`${this.http}/api/v1/${method}`, options, resolve).on('error', reject);
      asked.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
    let text = '';
    for await (const it of response.setEncoding('utf8')) text += it;
    if (response.statusCode >= 300) throw new Error(`API ${method}: ${response.statusCode} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
}

/** A TCP proxy on loopback. While it is shut, whoever connects is sent away at once. */
export class Proxy {
  #server;
  #pairs = new Set();
  #isShut = false;
  accepted = 0;

  static async before(site) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((near) => proxy.#carry(near, site.port));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.#server.address().port;
    proxy.http = `http://127.0.0.1:${proxy.port}`;
    proxy.ws = `ws://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  #carry(near, port) {
    if (this.#isShut) return void near.destroy();
    this.accepted += 1;
    const far = net.connect(port, '127.0.0.1');
    const pair = [near, far];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      for (const side of pair) side.destroy();
    };
    for (const side of pair) side.on('error', end).on('close', end).setNoDelay(true);
    near.pipe(far);
    far.pipe(near);
  }

  get connections() {
    return this.#pairs.size;
  }

  /** Resets all connections, as a network does that is gone; resolves to how many they were. */
  cut() {
    const all = [...this.#pairs];
    this.#pairs.clear();
    for (const pair of all) for (const side of pair) side.resetAndDestroy();
    return all.length;
  }

  /** Cuts, and lets nobody through until `open`. */
  shut() {
    this.#isShut = true;
    return this.cut();
  }

  open() {
    this.#isShut = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}

/** What checks may do to a server and to the lines through its proxy, by name: from within pages, too. */
export function controls(site, proxy, more = {}) {
  const all = {
    cut: () => proxy.cut(),
    shut: () => proxy.shut(),
    open: () => proxy.open(),
    restart: () => site.restart(),
    token: (...given) => token(...given),
    api: (method, body) => site.api(method, body),
    ...more,
  };
  return async (name, ...given) => all[name](...given);
}

/** Makes a JSON Web Token (RFC 7519) signed with HS256. */
export function token(claims, secret = TOKEN_SECRET) {
  const part = (it) => Buffer.from(JSON.stringify(it)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
