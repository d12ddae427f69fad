// Clients of npm `centrifuge` as the checks make them, in Node and in pages alike. The packages, and what Node lacks of a
// browser, come in as arguments.
import { until } from '../words.mjs';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Each way in which a published client talks to us: the package, the transport, and what the data are. */
export const KINDS = {
  'json-websocket': { package: 'json', transport: 'websocket' },
  'json-stream': { package: 'json', transport: 'http_stream' },
  'json-sse': { package: 'json', transport: 'sse' },
  'protobuf-websocket': { package: 'protobuf', transport: 'websocket' },
  'protobuf-stream': { package: 'protobuf', transport: 'http_stream' },
};

/** Those that Node does not have. */
export const KINDS_OF_BROWSERS = {
  'json-webtransport': { package: 'json', transport: 'webtransport' },
  'protobuf-webtransport': { package: 'protobuf', transport: 'webtransport' },
};

/** What a client and its subscriptions were told, in order. */
export class Story extends Array {
  listen(emitter, names, tell) {
    for (const name of names) emitter.on(name, (it) => this.push({ name, ...tell(name, it) }));
    return this;
  }

  all(name) {
    return Array.from(this).filter((it) => it.name === name);
  }

  last(name) {
    return this.all(name).at(-1);
  }
}

/** Makes clients of one kind. */
export class Clients {
  #made = [];

  /** `packages` has `json` and `protobuf`; `environment` has what a client is to use instead of globals. */
  constructor(kind, packages, environment) {
    this.kind = KINDS[kind] ?? KINDS_OF_BROWSERS[kind];
    this.name = kind;
    this.isBinary = this.kind.package === 'protobuf';
    this.packages = packages;
    this.environment = environment;
  }

  /** What the package takes as data for a value of JSON. */
  wrap(value) {
    return this.isBinary ? encoder.encode(JSON.stringify(value)) : value;
  }

  unwrap(data) {
    return this.isBinary ? JSON.parse(decoder.decode(data)) : data;
  }

  /** Makes a client of the server at `http`; it comes back quickly. */
  make(http, options = {}) {
    const { transport } = this.kind;
    const origin = transport === 'websocket' ? http.replace('http', 'ws') : http;
    const { Centrifuge } = this.packages[this.kind.package];
    const client = new Centrifuge([{ transport, endpoint: `${origin}/connection/${transport}` }], {
      emulationEndpoint: `${http}/emulation`,
      minReconnectDelay: 20,
      maxReconnectDelay: 200,
      timeout: 10_000,
      ...this.environment,
      ...options,
    });
    const names = ['connecting', 'connected', 'disconnected', 'subscribed', 'unsubscribed', 'publication', 'message', 'join', 'leave', 'error'];
    client.story = new Story().listen(client, names, (name, it) =>
      ['publication', 'message'].includes(name) ? { ...it, value: this.unwrap(it.data) } : it,
    );
    this.#made.push(client);
    return client;
  }

  /** Makes a client and waits until it is in. */
  async connect(http, options) {
    const client = this.make(http, options);
    client.connect();
    await client.ready(10_000);
    return client;
  }

  /** Subscribes a client and waits until it is subscribed. */
  async subscribe(client, channel, options) {
    const subscription = this.prepare(client, channel, options);
    subscription.subscribe();
    await subscription.ready(10_000);
    return subscription;
  }

  prepare(client, channel, options) {
    const subscription = client.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 200, ...options });
    const names = ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave', 'error'];
    subscription.story = new Story().listen(subscription, names, (name, it) =>
      name === 'publication' ? { ...it, value: this.unwrap(it.data) } : it,
    );
    subscription.values = () => subscription.story.all('publication').map((it) => it.value);
    subscription.heard = (count) =>
      until(`${count} publications`, () => subscription.story.all('publication').length >= count);
    return subscription;
  }

  /** Disconnects all clients that were made. */
  leave() {
    for (const client of this.#made.splice(0)) client.disconnect();
  }
}
