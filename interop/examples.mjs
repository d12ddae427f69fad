// What the checks of examples/ share: a server part and the `taiwa serve` of its taiwa.toml, both on free ports, and the
// pages that look at them in Chromium. A check needs nothing but what a user starts.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { launch } from './chromium/launch.mjs';
import { API_KEY, Proxy, Site, TOKEN_SECRET } from './site.mjs';
import { holds, same, within } from './words.mjs';

const START_MS = 20_000;
const STOP_MS = 5_000;

/** What both programs find in the environment; an app names those that it needs. */
const SECRETS = {
  TAIWA_AUTH__JWT__SECRETS: TOKEN_SECRET,
  TAIWA_WEBHOOKS__SECRETS: 'a webhook secret of the checks alone',
  TAIWA_API__KEYS: API_KEY,
};

/** One app of examples/, up and running. `site` is its taiwa, `proxy` stands between that and everyone else. */
export class Example {
  #program;
  #complaints = [];
  #browsers = [];

  /**
   * Starts `command` in the app's folder, then taiwa with the app's taiwa.toml. `settings` makes flags of the URL of the server part,
   * for what in the file tells where that is. Without `taiwa` the server part is all there is.
   */
  static async start(name, { taiwa, command, secrets = [], settings = () => [], env = {} }) {
    const example = new Example();
    const target = { port: 0 };
    example.proxy = await Proxy.before(target);
    await example.#begin(name, command, secrets, { TAIWA_URL: example.proxy.http, ...env });
    if (!taiwa) return example;
    const flags = ['--origin', new URL(example.url).origin, ...settings(example.url)];
    example.site = await Site.start(taiwa, example.#toml, flags);
    target.port = example.site.port;
    return example;
  }

  /** Starts taiwa first, and nothing stands before it: what is kept for a slow reader on the way there is less. Pages of all origins may come. */
  static async startDirectly(name, { taiwa, command, secrets = [], env = {} }) {
    const example = new Example();
    example.#take(name, secrets);
    example.site = await Site.start(taiwa, example.#toml, ['--origin', 'any']);
    await example.#begin(name, command, secrets, { TAIWA_URL: example.site.http, ...env });
    return example;
  }

  #folder;

  #take(name, secrets) {
    this.#folder = new URL(`../examples/${name}/`, import.meta.url);
    for (const it of secrets) process.env[it] = SECRETS[it];
  }

  get #toml() {
    return readFileSync(new URL('taiwa.toml', this.#folder), 'utf8');
  }

  async #begin(name, [program, ...given], secrets, env) {
    this.#take(name, secrets);
    const options = { cwd: fileURLToPath(this.#folder), env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env } };
    this.#program = spawn(program, given, options);
    createInterface(this.#program.stderr).on('line', (line) => this.#complaints.push(line));
    this.ended = new Promise((resolve) => this.#program.once('close', resolve));
    process.on('exit', () => this.#program.kill('SIGKILL'));
    this.url = await this.#firstLine();
  }

  #firstLine() {
    const line = new Promise((resolve) => createInterface(this.#program.stdout).once('line', resolve));
    const end = this.ended.then((code) => {
      throw new Error(`the server part ended with ${code}: ${this.#complaints.slice(-3).join(' | ')}`);
    });
    end.catch(() => {});
    return within(Promise.race([line, end]), START_MS, 'the URL of the server part');
  }

  /** Opens the app's page, here or at another URL, in a browser of its own, with cookies of its own. What goes wrong in it is told by `finish`. */
  async open(url = this.url) {
    const browser = await launch();
    this.#browsers.push(browser);
    const page = await browser.newPage();
    page.setDefaultTimeout(10_000);
    page.on('pageerror', (error) => this.#complaints.push(`page: ${error.message}`));
    page.on('console', (message) => {
      if (/Content Security Policy/.test(message.text())) this.#complaints.push(message.text());
    });
    await page.goto(url);
    return page;
  }

  /** Stops the server part in its tracks, or lets it go on. */
  hold() {
    this.#program.kill('SIGSTOP');
  }

  letGo() {
    this.#program.kill('SIGCONT');
  }

  /** Ends all, and complains about whoever did not end well or had something to complain about. */
  async finish() {
    await within(Promise.all(this.#browsers.map((it) => it.close())), STOP_MS, 'the end of the browsers');
    // What the server part says of a taiwa that ends does not count.
    const complaints = this.#complaints.slice(0, 3);
    await this.site?.finish();
    this.proxy?.close();
    holds(this.#program.exitCode === null, `the server part ended with ${this.#program.exitCode}`);
    // One that is all there is closes its connections first.
    this.#program.kill(this.site ? 'SIGTERM' : 'SIGINT');
    const code = await within(this.ended, STOP_MS, 'the end of the server part');
    holds(code === 0 || code === null, `the server part ended with ${code}`);
    same(complaints, [], 'complaints');
  }
}
