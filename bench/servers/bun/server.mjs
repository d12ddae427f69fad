// The benchmark's server of Bun.serve (µWebSockets inside), run by bun: all settings at their defaults but those that
// a task asks for. The arguments are those of order/src/lib.rs; without a task it echoes.

const words = process.argv.slice(2);
const task = words[0]?.startsWith('--') ? 'echo' : (words[0] ?? 'echo');

function file(flag) {
  const at = words.indexOf(flag);
  return at < 0 ? undefined : Bun.file(words[at + 1]);
}

// As in pattern/src/lib.rs.
const PERIOD = 131071;
const pattern = Buffer.alloc(PERIOD);
for (let state = 1, at = 0; at < PERIOD; at += 1) {
  state = (Math.imul(state, 1664525) + 1013904223) | 0;
  pattern[at] = state >>> 24;
}

function isPattern(bytes) {
  for (let at = 0; at < bytes.length; at += PERIOD) {
    const part = bytes.subarray(at, at + PERIOD);
    if (pattern.compare(part, 0, part.length, 0, part.length) !== 0) return false;
  }
  return true;
}

const echo = {
  message(socket, message) {
    socket.send(message);
  },
};

const large = {
  ...echo,
  maxPayloadLength: 32 * 2 ** 20,
  backpressureLimit: 64 * 2 ** 20,
};

const compressed = {
  perMessageDeflate: true,
  message(socket, message) {
    socket.send(message, true);
  },
};

// The server publishes, and not the socket, which would not hear itself.
const fanOut = (compress) => ({
  perMessageDeflate: compress,
  open(socket) {
    socket.subscribe('all');
  },
  message(socket, message) {
    server.publish('all', message, compress);
  },
});

// Channels are named by the URL; who says something does not hear it, unless it wants to.
const publish = {
  open(socket) {
    for (const name of socket.data.channels) socket.subscribe(name);
  },
  message(socket, message) {
    if (socket.data.echo) server.publish(socket.data.channels[0], message);
    else socket.publish(socket.data.channels[0], message);
  },
};

// Messages too large to hold are held all the same: there is no way to take them, or to send them, in parts.
const take = {
  maxPayloadLength: 2 ** 31 - 1,
  message(socket, message) {
    if (!isPattern(message)) throw new Error('wrong content');
    socket.send(Buffer.from(String(message.length)));
  },
};

const give = {
  backpressureLimit: 2 ** 31 - 1,
  message(socket, message) {
    socket.send(Buffer.alloc(Number(message.toString()), pattern));
  },
};

const tasks = {
  echo,
  'echo-forward': echo,
  'echo-large': large,
  'echo-deflate': compressed,
  'fan-out': fanOut(false),
  'fan-out-deflate': fanOut(true),
  publish,
  take,
  give,
};
// Nobody else pays for what one task wants to know.
function known(request) {
  if (task !== 'publish') return undefined;
  const query = new URL(request.url).searchParams;
  return { data: { channels: query.getAll('channel'), echo: query.get('echo') === 'true' } };
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  tls: file('--cert') && { cert: file('--cert'), key: file('--key') },
  fetch(request, server) {
    if (server.upgrade(request, known(request))) return undefined;
    return new Response('a WebSocket server', { status: 426 });
  },
  websocket: tasks[task],
});
console.log(`listening ${server.port}`);
