// Everyone of one environment (Node, Chromium, Firefox) in one channel, each with what it heard, and able to speak.
import { Clients, KINDS } from '../centrifuge/clients.mjs';
import { Listener, Speaker } from '../eventsource/clients.mjs';

const encoder = new TextEncoder();

/** Joins the channel in every way that this environment has; resolves to the members by name. */
export async function join({ EventSource, WebSocket, packages, environment, http, channel }) {
  const ws = http.replace('http', 'ws');
  const [plain, events, objects] = await Promise.all([
    Speaker.open(WebSocket, `${ws}/${channel}?echo=true`),
    Listener.open(EventSource, `${http}/sse/${channel}`),
    Listener.open(EventSource, `${http}/sse/${channel}?format=json`),
  ]);
  const isSaid = ({ name }) => !name.startsWith('taiwa:');
  const members = {
    plain: {
      heard: () => plain.messages.map((it) => (typeof it === 'string' ? { text: it } : { binary: Array.from(it) })),
      say: ({ text, bytes }) => plain.say(text ?? new Uint8Array(bytes)),
    },
    events: { heard: () => events.events.filter(isSaid).map(({ name, data }) => ({ event: name, data })) },
    objects: { heard: () => objects.events.filter(isSaid).map(({ data }) => said(JSON.parse(data))) },
  };
  const centrifuge = Object.keys(KINDS).map(async (kind) => {
    members[kind] = await ofKind(kind, new Clients(kind, packages, environment), http, channel);
  });
  await Promise.all(centrifuge);
  return members;
}

/** What an object of the dialect `sse` says, without where and when. */
export function said({ channel, id, ...rest }) {
  return rest;
}

async function ofKind(kind, clients, http, channel) {
  const client = await clients.connect(http);
  const data = [];
  const subscription = client.newSubscription(channel);
  subscription.on('publication', (it) => data.push(clients.isBinary ? { bytes: Array.from(it.data) } : { value: it.data }));
  subscription.subscribe();
  await subscription.ready(10_000);
  return {
    heard: () => data,
    say: ({ text, bytes, value }) =>
      subscription.publish(clients.isBinary ? (bytes ? new Uint8Array(bytes) : encoder.encode(text)) : value),
  };
}
