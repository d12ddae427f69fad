// A TCP load balancer without stickiness: each connection goes to the next node that takes it.
import net from 'node:net';

export class Balancer {
  #server;
  #nodes = [];
  #turn = 0;
  #pairs = new Set();

  static async before(nodes) {
    const it = new Balancer();
    it.#nodes = nodes;
    it.#server = net.createServer((near) => it.#carry(near, it.#nodes.length));
    await new Promise((resolve) => it.#server.listen(0, '127.0.0.1', resolve));
    const { port } = it.#server.address();
    [it.http, it.ws] = [`http://127.0.0.1:${port}`, `ws://127.0.0.1:${port}`];
    return it;
  }

  #carry(near, left) {
    near.on('error', () => {});
    if (left === 0) return void near.destroy();
    this.#turn += 1;
    const { host = '127.0.0.1', port } = this.#nodes[this.#turn % this.#nodes.length];
    const far = net.connect(port, host);
    let isThere = false;
    far.once('connect', () => {
      isThere = true;
      const pair = [near, far];
      this.#pairs.add(pair);
      const end = () => {
        this.#pairs.delete(pair);
        for (const side of pair) side.destroy();
      };
      for (const side of pair) side.on('error', end).on('close', end).setNoDelay(true);
      near.pipe(far);
      far.pipe(near);
    });
    far.once('error', () => {
      if (!isThere) this.#carry(near, left - 1);
    });
  }

  /** Resets all connections. */
  cut() {
    const all = [...this.#pairs];
    this.#pairs.clear();
    for (const pair of all) for (const side of pair) side.resetAndDestroy();
    return all.length;
  }

  /** Has all go to other nodes. */
  turnTo(nodes) {
    this.#nodes = nodes;
    return this.cut();
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
