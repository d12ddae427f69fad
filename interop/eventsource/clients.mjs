// `EventSource` and `new WebSocket` as the checks use them, in Node and in pages alike.
import { until } from '../words.mjs';

const NAMES = ['message', 'base64', 'greeting', 'greeting;base64', 'taiwa:here', 'taiwa:gap', 'taiwa:disconnect', 'taiwa:unsubscribed'];

/** An `EventSource` that remembers what it was told. */
export class Listener {
  events = [];
  opened = 0;
  failed = [];

  constructor(EventSource, url) {
    this.source = new EventSource(url);
    for (const name of NAMES) {
      this.source.addEventListener(name, ({ data, lastEventId }) => this.events.push({ name, data, id: lastEventId }));
    }
    this.source.addEventListener('open', () => (this.opened += 1));
    this.source.addEventListener('error', ({ code }) => this.failed.push(code));
  }

  static async open(EventSource, url) {
    const listener = new Listener(EventSource, url);
    // Everything said after its first event reaches it.
    await until(`an event stream at ${url}`, () => listener.events.length > 0);
    return listener;
  }

  all(name) {
    return this.events.filter((it) => it.name === name).map((it) => it.data);
  }

  heard(count, name = 'message') {
    return until(`${count} events "${name}"`, () => this.all(name).length >= count);
  }

  close() {
    this.source.close();
  }
}

/** A WebSocket that hears itself, so that what it said is known to have been published. */
export class Speaker {
  messages = [];

  static async open(WebSocket, url) {
    const speaker = new Speaker();
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => {
      speaker.messages.push(typeof data === 'string' ? data : new Uint8Array(data));
    });
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Error(`${url} can't be opened`)));
      socket.addEventListener('close', ({ code, reason }) => (speaker.closed = { code, reason }));
    });
    speaker.socket = socket;
    return speaker;
  }

  async say(...messages) {
    const due = this.messages.length + messages.length;
    for (const it of messages) this.socket.send(it);
    await until('its own words', () => this.messages.length >= due);
  }

  close() {
    this.socket.close();
  }
}
