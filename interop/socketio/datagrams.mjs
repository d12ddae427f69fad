// A proxy for TCP and UDP on one port of loopback, which can be cut off.
import dgram from 'node:dgram';

import { Proxy } from '../site.mjs';

const TRIES = 20;

/** As `Proxy`, with UDP besides. What is cut is never told of it. */
export class DatagramProxy {
  #tcp;
  #socket;
  #flows = new Map();
  #isShut = false;

  /** The port of UDP may be taken where that of TCP is free. */
  static async before(site) {
    for (let tries = 1; ; tries += 1) {
      const proxy = new DatagramProxy();
      proxy.#tcp = await Proxy.before(site);
      try {
        await proxy.#listen(proxy.#tcp.port, site.port);
        proxy.http = proxy.#tcp.http.replace('http', 'https');
        return proxy;
      } catch (error) {
        proxy.close();
        if (tries >= TRIES) throw error;
      }
    }
  }

  async #listen(port, sitePort) {
    this.#socket = dgram.createSocket('udp4');
    this.#socket.on('message', (it, { address, port }) => this.#carry(it, address, port, sitePort));
    await new Promise((resolve, reject) => {
      this.#socket.once('error', reject).bind(port, '127.0.0.1', resolve);
    });
  }

  #carry(datagram, address, port, sitePort) {
    let flow = this.#flows.get(port);
    if (!flow) {
      const far = dgram.createSocket('udp4');
      flow = { far, isCut: this.#isShut };
      this.#flows.set(port, flow);
      far.on('message', (it) => flow.isCut || this.#socket.send(it, port, address));
      far.on('error', () => {});
    }
    if (!flow.isCut) flow.far.send(datagram, sitePort, '127.0.0.1');
  }

  cut() {
    for (const flow of this.#flows.values()) flow.isCut = true;
    return this.#tcp.cut();
  }

  shut() {
    this.#isShut = true;
    this.cut();
    return this.#tcp.shut();
  }

  open() {
    this.#isShut = false;
    this.#tcp.open();
  }

  close() {
    for (const { far } of this.#flows.values()) far.close();
    this.#flows.clear();
    this.#tcp.close();
    try {
      this.#socket?.close();
    } catch {
      // It never listened.
    }
  }
}
