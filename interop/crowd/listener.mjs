// Listeners of all kinds that write down what they are told, and what is wrong with such a story.
import * as json from 'centrifuge';
import * as protobuf from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
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
    source.addEventListener('error', () => (it.lost += 1));
    source.addEventListener('open', () => {
      if (it.joined) it.returns += 1;
    });
    source.addEventListener('taiwa:here', () => (it.joined = true));
    it.close = () => source.close();
    await until('an event stream', () => it.joined, WAIT_MS);
    return it;
  }

  came(recovered) {
    this.returns += 1;
    this.story.push(recovered ? 'back' : 'gap');
  }

  get last() {
    return this.story.findLast((it) => typeof it === 'number') ?? 0;
  }

  /** Says what is wrong with its story: a hole without a word, a word without a hole, or something twice. */
  complaint(lastDue) {
    let before;
    let wasTold = false;
    for (const it of this.story) {
      if (typeof it !== 'number') {
        wasTold ||= it === 'gap';
        continue;
      }
      if (before !== undefined && it <= before) return `${it} behind ${before}`;
      if (before !== undefined && it > before + 1 && !wasTold) return `${it} behind ${before}, and no word of a gap`;
      if (before !== undefined && it === before + 1 && wasTold) return `a gap where there is none, before ${it}`;
      [before, wasTold] = [it, false];
    }
    return before === lastDue ? undefined : `${before} is the last where ${lastDue} was due`;
  }
}

/** Makes so many listeners of each kind, or a share of them, and waits until all hear the channel. Each waits `timeout` for an answer. */
export async function gather(kinds, http, channel, share = 1, timeout = WAIT_MS) {
  const all = Object.entries(kinds).flatMap(([kind, count]) =>
    Array.from({ length: Math.ceil(count * share) }, () =>
      kind === 'events' ? Listener.events(http, channel) : Listener.centrifuge(kind, http, channel, timeout),
    ),
  );
  return Promise.all(all);
}

/** Complains if something is wrong with one of the stories, or `last` is not the last in each. */
export function judge(crowd, last) {
  const complaints = crowd.map((it) => it.complaint(last)).filter(Boolean);
  holds(complaints.length === 0, `${complaints.length} of ${crowd.length}: ${complaints.slice(0, 3).join('; ')}`);
}
