// Network namespaces of a check's own: one for each node, with a link to the broker's network that can be cut so that
// neither end is told, and another one for clients. Needs root and iproute2; all of it is gone when the program ends.
import { execFileSync } from 'node:child_process';

const IP = ['/usr/sbin/ip', '/sbin/ip'];
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 };

function ip(...words) {
  for (const program of IP) {
    try {
      return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    } catch (error) {
      if (error.code !== 'ENOENT') throw new Error(`ip ${words.join(' ')}: ${error.stderr || error.message}`.trim());
    }
  }
  throw new Error('iproute2 is not here');
}

/** A part of 198.18.0.0/15, which is for tests of networks (RFC 2544), to which nothing here leads yet. */
function freePart() {
  for (let turn = 0; turn < 250; turn += 1) {
    const part = 1 + ((process.pid + turn) % 250);
    const isFree = [18, 19].every((it) => ip('-4', 'route', 'show', 'root', `198.${it}.${part}.0/24`) === '');
    if (isFree) return part;
  }
  throw new Error('no part of 198.18.0.0/15 is free');
}

/** A bridge on which the broker listens, and namespaces of nodes. */
export class Networks {
  #bridge = `tw${process.pid.toString(36)}`;
  #part;
  #made = [];
  nodes = [];

  /** Makes them for so many nodes; throws, with why, where that can't be. */
  static make(count) {
    const it = new Networks();
    process.once('exit', () => it.remove());
    for (const [signal, number] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(128 + number));
    it.#part = freePart();
    it.broker = `198.18.${it.#part}.1`;
    // An address of its own, not that of a link: the host would take what comes for it by that link, even if it is cut.
    const address = `02:00:c6:12:${it.#part.toString(16).padStart(2, '0')}:01`;
    const settings = ['type', 'bridge', 'stp_state', '0', 'forward_delay', '0'];
    it.#make(['link', it.#bridge], 'link', 'add', it.#bridge, 'address', address, ...settings);
    ip('address', 'add', `${it.broker}/24`, 'dev', it.#bridge);
    ip('link', 'set', it.#bridge, 'up');
    for (let node = 0; node < count; node += 1) it.#addNode(node);
    return it;
  }

  #make(what, ...words) {
    ip(...words);
    this.#made.push(what);
  }

  #addNode(node) {
    const name = `taiwa-${process.pid}-${node}`;
    const link = `${this.#bridge}b${node}`;
    const clients = `${this.#bridge}c${node}`;
    const [near, host] = [1, 2].map((it) => `198.19.${this.#part}.${4 * node + it}`);
    this.#make(['netns', name], 'netns', 'add', name);
    this.#make(['link', link], 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'broker', 'netns', name);
    this.#make(['link', clients], 'link', 'add', clients, 'type', 'veth', 'peer', 'name', 'clients', 'netns', name);
    ip('link', 'set', link, 'master', this.#bridge, 'up');
    ip('address', 'add', `${near}/30`, 'dev', clients);
    ip('link', 'set', clients, 'up');
    const inside = (...words) => ip('-n', name, ...words);
    inside('address', 'add', `198.18.${this.#part}.${2 + node}/24`, 'dev', 'broker');
    inside('address', 'add', `${host}/30`, 'dev', 'clients');
    for (const it of ['lo', 'broker', 'clients']) inside('link', 'set', it, 'up');
    // Where a node runs, and what it listens on.
    this.nodes.push({ inside: [IP[0], 'netns', 'exec', name], host, link });
  }

  /** Has nothing pass between a node and the broker; their links stay up, so nobody is told. */
  cut(node) {
    ip('link', 'set', this.nodes[node].link, 'nomaster');
  }

  heal(node) {
    ip('link', 'set', this.nodes[node].link, 'master', this.#bridge);
  }

  remove() {
    for (const what of this.#made.splice(0).reverse()) {
      const [kind, name] = what;
      try {
        ip(kind, 'delete', name);
      } catch (error) {
        // One end of a link goes with its namespace.
        if (!/Cannot find device/.test(error.message)) console.error(`not removed: ${error.message}`);
      }
    }
  }
}
