// Brokers of a check's own: Debian's redis-server and nats-server, each in a folder and on a port of its own, that can be
// stopped, paused, killed, and come back with what they knew or without.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until, within } from '../words.mjs';

const programs = new Set();
process.on('exit', () => {
  for (const it of programs) it.kill();
});

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const KINDS = {
  redis: {
    program: '/usr/bin/redis-server',
    // Each write is on the disk before it is answered: a broker that is killed knows what it has said.
    flags: ({ host, port, folder }) => ['--bind', host, '--port', port, '--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--protected-mode', 'no'],
  },
  nats: {
    program: '/usr/sbin/nats-server',
    flags: ({ host, port, folder }) => ['-a', host, '-p', port, '-js', '-sd', folder],
  },
};

/** Says why there can be no such broker here. */
export function lacks(kind) {
  const { program } = KINDS[kind];
  return existsSync(program) ? undefined : `${program} is not here`;
}

/** One broker. */
export class Broker {
  #program;
  #options;

  static async start(kind, host = '127.0.0.1') {
    const broker = new Broker();
    const folder = mkdtempSync(join(tmpdir(), 'taiwa-broker-'));
    broker.kind = kind;
    broker.#options = { host, folder, port: String(await freePort()) };
    programs.add(broker);
    await broker.begin();
    return broker;
  }

  get url() {
    const { host, port } = this.#options;
    return `${this.kind}://${host}:${port}`;
  }

  async begin() {
    const { program, flags } = KINDS[this.kind];
    const { host, port } = this.#options;
    this.#program = spawn(program, flags(this.#options), { stdio: 'ignore' });
    this.ended = new Promise((resolve) => this.#program.once('close', resolve));
    const isThere = () =>
      new Promise((resolve) => {
        const socket = net.connect(Number(port), host);
        socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
        socket.once('connect', () => socket.destroy());
      });
    await until(`a ${this.kind} at ${this.url}`, isThere);
  }

  /** Ends it, by the signal; what it knew is kept. */
  async stop(signal = 'SIGTERM') {
    this.#program.kill(signal);
    await within(this.ended, 10_000, `the end of ${this.kind}`);
  }

  /** Has it forget everything while it is stopped. */
  forget() {
    rmSync(this.#options.folder, { recursive: true, force: true });
    this.#options.folder = mkdtempSync(join(tmpdir(), 'taiwa-broker-'));
  }

  pause() {
    this.#program.kill('SIGSTOP');
  }

  goOn() {
    this.#program.kill('SIGCONT');
  }

  kill() {
    programs.delete(this);
    this.#program.kill('SIGKILL');
    rmSync(this.#options.folder, { recursive: true, force: true });
  }
}
