// Listeners of all kinds that write down what they are told, and what is wrong with such a story.
import * as json from 'centrifuge';
import * as protobuf from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';

import { Clients } from '../centrifuge/clients.mjs';
import { holds, until } from '../words.mjs';

const WAIT_MS = 60_000;

export const packages = { json, protobuf };
export const environment = { websocket: WebSocket, eventsource: EventSource, fetch, readableStream: ReadableStream };

/**
 * One listener. Its `story` is what it was told, in order: numbers of publications, `back` for a subscription that goes on
 * where it was, `gap` for one that does not.
 */
export class Listener {
  story = [];
  returns = 0;
  /** How often its connection was lost. */
  lost = 0;
  /** How often an event stream was opened. */
  opened = 0;
  joined = false;

  static async centrifuge(kind, http, channel, timeout = WAIT_MS) {
    const it = new Listener();
    const clients = new Clients(kind, packages, environment);
    const client = clients.make(http, { minReconnectDelay: 20, maxReconnectDelay: 500, timeout });
    const subscription = client.newSubscription(channel, { recoverable: true, minResubscribeDelay: 20 });
    subscription.on('subscribed', ({ wasRecovering, recovered }) => {
      if (wasRecovering) it.came(recovered);
      else it.story.push(it.joined ? 'gap' : 'joined');
      it.joined = true;
    });
    subscription.on('publication', ({ data }) => it.story.push(clients.unwrap(data)));
    client.on('connecting', () => (it.lost += it.joined ? 1 : 0));
    subscription.subscribe();
    client.connect();
    it.close = () => client.disconnect();
    await subscription.ready(WAIT_MS);
    return it;
  }

  static async events(http, channel) {
    const it = new Listener();
    const source = new EventSource(`${http}/sse/${channel}`);
    let hadGap = false;
    source.addEventListener('taiwa:gap', () => {
      it.story.push('gap');
      hadGap = true;
    });
    source.addEventListener('message', ({ data }) => it.story.push(Number(data)));
    let ended;
    source.addEventListener('error', ({ code, message }) => {
      it.lost += 1;
      if (source.readyState === 2) ended = `${code ?? ''} ${message ?? ''}`;
    });
    source.addEventListener('open', () => {
      it.opened += 1;
      if (it.joined) it.returns += 1;
    });
    source.addEventListener('taiwa:here', () => (it.joined = true));
    it.close = () => source.close();
    await until('an event stream', () => it.joined || ended, WAIT_MS).catch((error) => {
      throw new Error(`${error.message}: state ${source.readyState}, opened ${it.opened}, lost ${it.lost}`);
    });
    holds(it.joined, `an event stream ended for good: ${ended}`);
    return it;
  }

  /** By Socket.IO, whose session has a log of its own: what it missed comes out of that, at whatever node. */
  static async socket(transport, http, channel, timeout = WAIT_MS) {
    const it = new Listener();
    // What a poll brought that was cut off may be unknown to the session: then it begins anew, and says so.
    it.polls = transport === 'polling';
    const socket = io(http, { transports: [transport], query: { channel }, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 500, timeout });
    socket.on('connect', () => {
      if (it.joined) it.came(socket.recovered);
      it.joined = true;
    });
    socket.on('disconnect', () => (it.lost += 1));
    socket.on('taiwa:gap', () => it.story.push('gap'));
    socket.onAny((event, data) => event.startsWith('taiwa:') || it.story.push(data));
    it.close = () => socket.disconnect();
    await until('a socket', () => it.joined, WAIT_MS);
    return it;
  }

  came(recovered) {
    this.returns += 1;
    this.story.push(recovered ? 'back' : 'gap');
  }

  get last() {
    return this.story.findLast((it) => typeof it === 'number') ?? 0;
  }

  /** Whether it was told that it lost something. */
  get hadGap() {
    return this.story.includes('gap');
  }

  /** Its kind and what it was told about its first gap. */
  get aroundGap() {
    const at = this.story.indexOf('gap');
    return `${this.kind}, lost ${this.lost}: ${this.story.slice(Math.max(0, at - 4), at + 3).join(' ')}`;
  }

  /** Says what is wrong with its story: a hole without a word, a word without a hole unless it may doubt, or something twice. */
  complaint(lastDue, mayDoubt = false) {
    let before;
    let wasTold = false;
    for (const it of this.story) {
      if (typeof it !== 'number') {
        wasTold ||= it === 'gap';
        continue;
      }
      if (before !== undefined && it <= before) return `${it} behind ${before}`;
      if (before !== undefined && it > before + 1 && !wasTold) return `${it} behind ${before}, and no word of a gap`;
      if (before !== undefined && it === before + 1 && wasTold && !mayDoubt) return `a gap where there is none, before ${it}`;
      [before, wasTold] = [it, false];
    }
    return before === lastDue ? undefined : `${before} is the last where ${lastDue} was due`;
  }
}

/** One listener of a kind. */
async function listener(kind, http, channel, timeout) {
  const [dialect, transport] = kind.split('-');
  const make = () => {
    if (kind === 'events') return Listener.events(http, channel);
    if (dialect === 'socket') return Listener.socket(transport, http, channel, timeout);
    return Listener.centrifuge(kind, http, channel, timeout);
  };
  return Object.assign(await make(), { kind });
}

/** Makes so many listeners of each kind, or a share of them, and waits until all hear the channel. Each waits `timeout` for an answer. */
export async function gather(kinds, http, channel, share = 1, timeout = WAIT_MS) {
  const all = Object.entries(kinds).flatMap(([kind, count]) =>
    Array.from({ length: Math.ceil(count * share) }, () => listener(kind, http, channel, timeout)),
  );
  return Promise.all(all);
}

/** Complains if something is wrong with one of the stories, or `last` is not the last in each. Who `mayDoubt` may be told of a gap where there is none. */
export function judge(crowd, last, mayDoubt = () => false) {
  const complaint = (it) => it.complaint(last, mayDoubt(it));
  const complaints = crowd.filter(complaint).map((it) => `${it.kind}: ${complaint(it)}`);
  holds(complaints.length === 0, `${complaints.length} of ${crowd.length}: ${complaints.slice(0, 3).join('; ')}`);
}
