// Brokers of a check's own: Debian's redis-server, alone and three as a Redis Cluster, and nats-server, each in a folder and
// on a port of its own, that can be stopped, paused, killed, and come back with what they knew or without.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until, within } from '../words.mjs';

const programs = new Set();
process.on('exit', () => {
  for (const it of programs) it.kill();
});

let next = process.pid * 97;

/** A port that nobody has, and that nobody is given by the system while it is not used yet: it lies below those. */
async function freePort() {
  for (;;) {
    next += 1;
    const port = 10_000 + (next % 10_000);
    const server = net.createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

// Each write is on the disk before it is answered: a broker that is killed knows what it has said.
const redis = ({ host, port, folder }) => ['--bind', host, '--port', port, '--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--protected-mode', 'no'];

const KINDS = {
  redis: { program: '/usr/bin/redis-server', flags: redis },
  'redis-cluster': {
    program: '/usr/bin/redis-server',
    scheme: 'redis',
    count: 3,
    flags: (it) => [...redis(it), '--cluster-enabled', 'yes', '--cluster-port', it.bus, '--cluster-node-timeout', '60000'],
    introduce,
    isReady: (it) => said(it, 'CLUSTER INFO').then((text) => text.includes('cluster_state:ok')),
  },
  nats: {
    program: '/usr/sbin/nats-server',
    flags: ({ host, port, folder }) => ['-a', host, '-p', port, '-js', '-sd', folder],
  },
};

/** Writes down for each server of a Redis Cluster who all are, as they would find out by asking one another. */
function introduce(members) {
  const name = (number) => String(number + 1).padStart(40, '0');
  const slot = (number) => Math.floor((number * 16_384) / members.length);
  for (const [to, { folder }] of members.entries()) {
    const lines = members.map(({ host, port, bus }, number) => {
      const role = number === to ? 'myself,master' : 'master';
      return `${name(number)} ${host}:${port}@${bus} ${role} - 0 0 ${number + 1} connected ${slot(number)}-${slot(number + 1) - 1}\n`;
    });
    writeFileSync(join(folder, 'nodes.conf'), `${lines.join('')}vars currentEpoch ${members.length} lastVoteEpoch 0\n`);
  }
}

/** Asks a server of Redis something that has one answer; without one it said nothing. */
function said({ host, port }, question) {
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), host);
    socket.once('connect', () => socket.write(`${question}\r\n`));
    socket.once('data', (bytes) => resolve(String(bytes))).once('error', () => resolve('')).once('close', () => resolve(''));
    socket.once('data', () => socket.destroy());
  });
}

function accepts({ host, port }) {
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Says why there can be no such broker here. */
export function lacks(kind) {
  const { program } = KINDS[kind];
  return existsSync(program) ? undefined : `${program} is not here`;
}

/** One broker, of one server or several. */
export class Broker {
  #members;

  static async start(kind, host = '127.0.0.1') {
    const broker = new Broker();
    broker.kind = kind;
    broker.#members = [];
    for (let count = KINDS[kind].count ?? 1; count > 0; count -= 1) {
      const folder = mkdtempSync(join(tmpdir(), 'taiwa-broker-'));
      broker.#members.push({ host, folder, port: String(await freePort()), bus: String(await freePort()) });
    }
    programs.add(broker);
    await broker.begin();
    return broker;
  }

  get url() {
    const hosts = this.#members.map(({ host, port }) => `${host}:${port}`);
    return `${KINDS[this.kind].scheme ?? this.kind}://${hosts.join(',')}`;
  }

  async begin() {
    const { program, flags, introduce: before, isReady = accepts } = KINDS[this.kind];
    before?.(this.#members);
    for (const it of this.#members) {
      it.process = spawn(program, flags(it), { stdio: 'ignore' });
      it.ended = new Promise((resolve) => it.process.once('close', resolve));
    }
    for (const it of this.#members) await until(`a ${this.kind} at ${it.host}:${it.port}`, () => isReady(it));
  }

  #signal(name) {
    for (const it of this.#members) it.process.kill(name);
  }

  /** Ends it, by the signal; what it knew is kept. */
  async stop(signal = 'SIGTERM') {
    this.#signal(signal);
    await within(Promise.all(this.#members.map((it) => it.ended)), 10_000, `the end of ${this.kind}`);
  }

  /** Has it forget everything while it is stopped. */
  forget() {
    for (const it of this.#members) {
      rmSync(it.folder, { recursive: true, force: true });
      it.folder = mkdtempSync(join(tmpdir(), 'taiwa-broker-'));
    }
  }

  pause() {
    this.#signal('SIGSTOP');
  }

  goOn() {
    this.#signal('SIGCONT');
  }

  kill() {
    programs.delete(this);
    this.#signal('SIGKILL');
    for (const it of this.#members) rmSync(it.folder, { recursive: true, force: true });
  }
}
