// Everyone of one environment (Node, Chromium, Firefox) in one channel, each with what it heard, and able to speak.
import { Clients, KINDS } from '../centrifuge/clients.mjs';
import { Listener, Speaker } from '../eventsource/clients.mjs';

const encoder = new TextEncoder();

/** Joins the channel in every way that this environment has; resolves to the members by name. */
export async function join({ EventSource, WebSocket, packages, environment, phoenix, io, http, channel }) {
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
  const others = {
    'phoenix-websocket': () => ofPhoenix(phoenix, phoenix.WebSocket, http, channel),
    'socketio-websocket': () => ofSocketIo(io, { transports: ['websocket'] }, http, channel),
    // A page has too few connections for more ways that keep one.
    ...(globalThis.window ? {} : inNodeAlone({ phoenix, io, http, channel })),
  };
  const joined = Object.entries(others).map(async ([name, open]) => (members[name] = await open()));
  await Promise.all([...centrifuge, ...joined]);
  return members;
}

/** What an object of the dialect `sse` says, without where and when. */
export function said({ channel, id, ...rest }) {
  return rest;
}

const inNodeAlone = ({ phoenix, io, http, channel }) => ({
  'phoenix-longpoll': () => ofPhoenix(phoenix, phoenix.LongPoll, http, channel),
  'socketio-polling': () => ofSocketIo(io, { transports: ['polling'] }, http, channel),
  'socketio-msgpack': () => ofSocketIo(io, { parser: io.msgpack }, http, channel),
  'socketio-old': () => ofSocketIo(io.old, {}, http, channel),
});

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

/** npm `phoenix`: a channel is a topic. Its own messages are not of the talk. */
async function ofPhoenix({ Socket }, transport, http, channel) {
  const socket = new Socket(`${http.replace('http', 'ws')}/socket`, { transport });
  socket.connect();
  const topic = socket.channel(channel);
  const data = [];
  topic.onMessage = (event, payload) => {
    if (!/^(phx_|chan_reply_|presence_)/.test(event)) data.push({ event, ...seen(payload) });
    return payload;
  };
  const done = (push) =>
    new Promise((resolve, reject) => {
      const fail = (why) => (it) => reject(new Error(`${why}: ${JSON.stringify(it)}`));
      push.receive('ok', resolve).receive('error', fail('refused')).receive('timeout', fail('no answer'));
    });
  await done(topic.join());
  return {
    heard: () => data,
    say: ({ event, bytes, value }) => done(topic.push(event, value === undefined ? new Uint8Array(bytes).buffer : value)),
  };
}

/** npm `socket.io-client`: a channel is a room, named in the query, and spoken to by an event of taiwa's own. */
async function ofSocketIo(io, options, http, channel) {
  const socket = io(http, { forceNew: true, query: { channel }, ...options });
  const data = [];
  for (const event of ['message', 'greeting']) socket.on(event, (it) => data.push({ event, ...seen(it) }));
  await new Promise((resolve, reject) => socket.on('connect', resolve).on('connect_error', reject));
  const say = ({ event, bytes, value }) =>
    new Promise((resolve, reject) => {
      const it = value === undefined ? new Uint8Array(bytes).buffer : value;
      const answer = (told) => (told?.error ? reject(new Error(told.error.message)) : resolve());
      socket.emit('taiwa:publish', channel, event, it, answer);
    });
  return { heard: () => data, say };
}

/** Bytes as bytes, all else as a value. */
function seen(it) {
  if (it instanceof ArrayBuffer) return { bytes: Array.from(new Uint8Array(it)) };
  if (ArrayBuffer.isView(it)) return { bytes: Array.from(new Uint8Array(it.buffer, it.byteOffset, it.byteLength)) };
  return { value: it };
}
