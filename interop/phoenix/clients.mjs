// Clients of npm `phoenix` as the checks make them, in Node and in pages alike. The package, and what Node lacks of a browser, come
// in as arguments.
import { until } from '../words.mjs';

/** Makes clients of one kind. */
export class Clients {
  #made = [];

  constructor(kind, phoenix, environment) {
    Object.assign(this, { kind, phoenix, environment });
    this.isPolling = kind !== 'websocket';
  }

  /** Makes a client of the server at `http`; it comes back quickly, and tells in `story` what happened to it. */
  make(http, options = {}) {
    const { Socket, LongPoll } = this.phoenix;
    const transport = this.kind === 'longpoll' ? LongPoll : this.environment.WebSocket;
    const quick = { reconnectAfterMs: () => 50, rejoinAfterMs: () => 50, heartbeatIntervalMs: 1_000, timeout: 8_000 };
    const fallback = this.kind === 'fallback' ? { longPollFallbackMs: 2_000, sessionStorage: noStorage() } : {};
    const socket = new Socket(`${http.replace('http', 'ws')}/socket`, { transport, ...quick, ...fallback, ...options });
    socket.story = [];
    socket.onOpen(() => socket.story.push('open'));
    socket.onClose(({ code }) => socket.story.push(code));
    this.#made.push(socket);
    return socket;
  }

  async connect(http, options) {
    const socket = this.make(http, options);
    socket.connect();
    await until('connected', () => socket.isConnected());
    return socket;
  }

  /** Makes a channel that keeps what it hears, and resolves to it once it is joined. */
  async join(socket, topic, params, events) {
    const channel = this.prepare(socket, topic, params, events);
    await this.joined(channel);
    return channel;
  }

  prepare(socket, topic, params, events = ['said']) {
    return this.watch(socket.channel(topic, params), events);
  }

  /** Keeps what a channel hears. */
  watch(channel, events = ['said']) {
    Object.assign(channel, { heard: [], replies: [], ends: [] });
    for (const event of events) channel.on(event, (payload) => channel.heard.push(payload));
    channel.joinPush.receive('ok', (it) => channel.replies.push(it)).receive('error', (it) => channel.replies.push({ refused: it }));
    channel.onClose(() => channel.ends.push('closed'));
    channel.onError((why) => channel.ends.push(why?.reason ?? 'error'));
    return channel;
  }

  joined(channel) {
    return settled(channel.join());
  }

  /** Pushes, and resolves to the answer; rejects with the error, or with what did not come. */
  push(channel, event, payload) {
    return settled(channel.push(event, payload));
  }

  leave() {
    for (const socket of this.#made.splice(0)) socket.disconnect();
  }
}

/** Resolves when a push is answered. */
export function settled(push) {
  return new Promise((resolve, reject) => {
    push.receive('ok', resolve).receive('error', reject).receive('timeout', () => reject(new Error('no answer')));
  });
}

/** Nothing is remembered of how an earlier client fell back. */
function noStorage() {
  return { getItem: () => null, setItem: () => {}, removeItem: () => {} };
}
