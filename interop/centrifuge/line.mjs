// The line between a page and a server as sessions of WebTransport have it: no proxy can cut QUIC, so the page does.

/** Takes the place of the page's WebTransport, with a certificate that is trusted by its hash. Sessions of the origin `near` can be cut. */
export class Line {
  #sessions = new Set();
  #isShut = false;

  constructor(near, hash) {
    const line = this;
    const options = { serverCertificateHashes: [{ algorithm: 'sha-256', value: new Uint8Array(hash) }] };
    globalThis.WebTransport = class extends WebTransport {
      constructor(url) {
        const isNear = new URL(url).origin === near;
        // Nobody answers there.
        super(isNear && line.#isShut ? `${near}/.taiwa/nothing` : url, options);
        if (!isNear) return;
        line.#sessions.add(this);
        const gone = () => line.#sessions.delete(this);
        this.closed.then(gone, gone);
      }
    };
  }

  /** Ends all sessions, as far as both sides see; resolves to how many they were. */
  async cut() {
    const all = [...this.#sessions];
    this.#sessions.clear();
    for (const it of all) await it.ready.then(() => it.close(), () => {});
    return all.length;
  }

  /** Cuts, and lets nobody through until `open`. */
  shut() {
    this.#isShut = true;
    return this.cut();
  }

  async open() {
    this.#isShut = false;
    return true;
  }
}
