// Clients of npm `socket.io-client` as the checks make them, of today's major version and of the one before, in Node and in
// pages alike. The packages come in as arguments.
import { until, within } from '../words.mjs';

/** Each way in which a published client talks to us: its version, its transports, its parser. */
export const KINDS = {
  polling: { version: 4, transports: ['polling'] },
  upgrade: { version: 4, transports: ['polling', 'websocket'] },
  websocket: { version: 4, transports: ['websocket'] },
  msgpack: { version: 4, transports: ['polling', 'websocket'], parser: 'msgpack' },
  'old-polling': { version: 2, transports: ['polling'] },
  'old-upgrade': { version: 2, transports: ['polling', 'websocket'] },
  'old-websocket': { version: 2, transports: ['websocket'] },
};

/** The ways over HTTP/3, which browsers alone have. */
export const SESSION_KINDS = {
  webtransport: { version: 4, transports: ['webtransport'] },
  'upgrade-webtransport': { version: 4, transports: ['polling', 'webtransport'] },
  'msgpack-webtransport': { version: 4, transports: ['polling', 'webtransport'], parser: 'msgpack' },
};

/** What an event has as last argument, since the sessions of these checks can be recovered. */
const OFFSET = /^[\w-]{12,}$/;
const NAMES = ['connect', 'disconnect', 'connect_error', 'error'];

/** A value with all its bytes, of whatever class, as `{ bytes: […] }`. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return { bytes: Array.from(new Uint8Array(value)) };
  if (ArrayBuffer.isView(value)) return { bytes: Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, plain(it)]));
}

/** Makes clients of one kind. */
export class Clients {
  #made = [];

  /**
   * `packages` has the function `io` of each version by its number, and of the version with another parser by that;
   * `hash` what to know a server's certificate by.
   */
  constructor(kind, packages, hash) {
    this.name = kind;
    this.kind = KINDS[kind] ?? SESSION_KINDS[kind];
    this.hash = hash;
    this.isOld = this.kind.version === 2;
    this.io = packages[this.kind.parser ?? this.kind.version];
  }

  /** Bytes as the package takes them: version 2, and MessagePack in pages, know no views. */
  bytes = (...all) => (this.isOld || this.kind.parser ? new Uint8Array(all).buffer : new Uint8Array(all));

  /** Makes a socket of a namespace of the server at `http`; it comes back quickly. */
  make(http, { namespace = '/', auth, query, ...options } = {}) {
    const socket = this.io(http + namespace, {
      transports: this.kind.transports,
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 200,
      // What version 2 has in place of `auth` is the query.
      ...(this.isOld ? { query: { ...query, ...auth } } : { auth, query }),
      ...(this.hash && { transportOptions: { webtransport: this.#ofSession(query) } }),
      ...options,
    });
    return this.watch(socket);
  }

  /** The package has no query for sessions: who begins with one names channels in the path. */
  #ofSession(query) {
    const serverCertificateHashes = [{ algorithm: 'sha-256', value: new Uint8Array(this.hash) }];
    const begins = this.kind.transports[0] === 'webtransport' && query;
    return { serverCertificateHashes, ...(begins && { path: `/socket.io/?${new URLSearchParams(query)}` }) };
  }

  /** One more namespace over the connection of a socket. */
  beside(socket, namespace, auth) {
    return this.watch(socket.io.socket(namespace, this.isOld ? { query: auth } : { auth }));
  }

  /** Writes down what a socket is told. */
  watch(socket) {
    const story = [];
    for (const name of NAMES) socket.on(name, (it) => story.push({ name, it, id: socket.id, recovered: socket.recovered }));
    const hear = (event, ...args) => {
      const answer = typeof args.at(-1) === 'function' ? args.pop() : undefined;
      const isRecoverable = !answer && !this.isOld && OFFSET.test(args.at(-1));
      story.push({ name: 'event', event, args: plain(isRecoverable ? args.slice(0, -1) : args) });
      answer?.(...(socket.answers?.[event] ?? (() => []))(...args));
    };
    if (this.isOld) {
      // It knows no listener for whatever comes.
      const { onevent } = socket;
      socket.onevent = (packet) => {
        const answer = packet.id === undefined || packet.id === null ? [] : [socket.ack(packet.id)];
        hear(...packet.data, ...answer);
        onevent.call(socket, { ...packet, id: null });
      };
    } else {
      socket.onAny(hear);
    }
    socket.story = story;
    socket.all = (name) => story.filter((it) => it.name === name);
    socket.last = (name) => socket.all(name).at(-1);
    socket.heard = (...events) => socket.all('event').filter((it) => events.length === 0 || events.includes(it.event));
    socket.args = (event) => socket.heard(event).map(({ args }) => args);
    this.#made.push(socket);
    return socket;
  }

  /** Makes a socket and waits until it is in, and on the transport where it stays. */
  async connect(http, options) {
    const socket = this.make(http, options);
    await this.ready(socket);
    return socket;
  }

  async ready(socket, times = 1) {
    await until('connected', () => socket.all('connect').length >= times && socket.connected).catch((late) => {
      const why = socket.last('connect_error')?.it ?? socket.last('error')?.it;
      throw new Error(`${late.message}; ${why?.message ?? why ?? 'nothing went wrong'}`);
    });
    await until('its transport', () => this.transport(socket) === this.kind.transports.at(-1));
  }

  transport(socket) {
    return socket.io.engine?.transport?.name;
  }

  /** Emits an event and resolves to the arguments of its acknowledgement. */
  ask(socket, event, ...args) {
    const answered = new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(plain(answer))));
    return within(answered, 10_000, `the acknowledgement of ${event}`);
  }

  /** Disconnects all sockets that were made. */
  leave() {
    for (const socket of this.#made.splice(0)) {
      socket.disconnect();
      socket.io.engine?.close?.();
    }
  }
}
