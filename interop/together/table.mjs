// The tables of payloads in ARCHITECTURE.md, and what each of their cells means to a client. A cell that says something
// else than it did has nothing here that checks it, and fails.
import { readFileSync } from 'node:fs';

const PAGE = new URL('../../ARCHITECTURE.md', import.meta.url);
const base64 = (it) => Buffer.from(it.bytes).toString('base64');

/** Clients whose events have names are told one in any case. */
const nameOf = ({ event }) => event ?? 'message';
/** What a name does to an event stream, and to objects. */
const named = ({ event }, data) => ({ event: event ?? 'message', data });
const objectOf = ({ event }, rest) => (event ? { event, ...rest } : rest);

/** What a client observes of a payload `{ kind, text, bytes, value, event }`, by row and by what the cell says. */
const MEANT = {
  plain: {
    'text, the same bytes': ({ text }) => ({ text }),
    'binary, the same bytes': ({ bytes }) => ({ binary: bytes }),
  },
  'sse, raw': {
    data: (it) => named(it, it.text),
    'data; CR and CR LF become LF': (it) => named(it, it.text.replace(/\r\n?/g, '\n')),
    'data in base64; the event is named `base64` or `{name};base64`': (it) =>
      named({ event: it.event ? `${it.event};base64` : 'base64' }, base64(it)),
  },
  'sse, objects and lines': {
    '`"data"`': (it) => objectOf(it, { data: it.value }),
    '`"data"`: a string': (it) => objectOf(it, { data: it.text }),
    '`"data_base64"`: a string': (it) => objectOf(it, { data_base64: base64(it) }),
  },
  'centrifuge, JSON': {
    '`"data"`': ({ value }) => ({ value }),
    '`"data"`: a string': ({ text }) => ({ value: text }),
    '`"data"`: `{"base64":"…"}`': (it) => ({ value: { base64: base64(it) } }),
  },
  'centrifuge, Protocol Buffers': {
    'its bytes': ({ bytes }) => ({ bytes }),
  },
  'phoenix, second serializer by WebSocket': {
    payload: (it) => ({ event: nameOf(it), value: it.value }),
    'payload: a string': (it) => ({ event: nameOf(it), value: it.text }),
    'a binary frame': (it) => ({ event: nameOf(it), bytes: it.bytes }),
  },
  'phoenix, first serializer, or long poll': {
    payload: (it) => ({ event: nameOf(it), value: it.value }),
    'payload: a string': (it) => ({ event: nameOf(it), value: it.text }),
    'payload: `{"base64":"…"}`': (it) => ({ event: nameOf(it), value: { base64: base64(it) } }),
  },
  'socketio, text': {
    'the argument, the same bytes': (it) => ({ event: nameOf(it), value: it.value }),
    'the argument: a string': (it) => ({ event: nameOf(it), value: it.text }),
    'the argument: a placeholder, and an attachment': (it) => ({ event: nameOf(it), bytes: it.bytes }),
  },
  'socketio, MessagePack': {
    'its values': (it) => ({ event: nameOf(it), value: it.value }),
    'a string': (it) => ({ event: nameOf(it), value: it.text }),
    '`bin`': (it) => ({ event: nameOf(it), bytes: it.bytes }),
  },
};

/** What the second table has to say, as the publications of the check take for granted. */
const PUBLISHED = {
  plain: 'text as `Text`, or as `Json` in namespaces that take JSON alone, if it is that; binary as `Binary`',
  'centrifuge, JSON': '`Json`',
  'centrifuge, Protocol Buffers': '`Json` if it reads as JSON, otherwise `Binary`',
  phoenix: '`Json`; a binary frame, or base64 by a long poll, as `Binary`',
  socketio:
    'one argument as `Json`, as `Binary` if it is nothing else, as `Mixed` with attachments in it; several as a list of `Json` or `Mixed`',
  'the HTTP API': '`data` and `args` as `Json`, or `Mixed` with bytes in them; `text` as `Text`, `base64` as `Binary`',
};

/** Reads the table whose head begins with `head` as rows of cells. */
function table(head) {
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const first = lines.findIndex((it) => it.startsWith(head));
  if (first < 0) throw new Error(`ARCHITECTURE.md has no table that begins with ${head}`);
  const rows = lines.slice(first, lines.indexOf('', first));
  return rows.filter((it) => !it.startsWith('|---')).map((it) => it.split('|').slice(1, -1).map((cell) => cell.trim()));
}

/** Complains unless both tables say what is checked here: each row of theirs, and no other. */
export function readTables() {
  const [head, ...rows] = table('| | `Json`');
  const kinds = head.slice(1).map((it) => /`(\w+)`/.exec(it)[1]);
  const cells = Object.fromEntries(rows.map(([row, ...all]) => [row, Object.fromEntries(all.map((it, n) => [kinds[n], it]))]));
  const [, ...published] = table('| a client of');
  for (const [row, said] of Object.entries(PUBLISHED)) {
    const found = published.find(([it]) => it === row)?.[1];
    if (found !== said) throw new Error(`a client of ${row} publishes "${found}", which nothing checks`);
  }
  for (const [row, it] of Object.entries(cells)) {
    for (const kind of ['Json', 'Text', 'Binary']) {
      if (!MEANT[row]?.[it[kind]]) throw new Error(`${row} has ${kind} as "${it[kind]}", which nothing checks`);
    }
  }
  const lost = Object.keys(MEANT).find((row) => !cells[row]);
  if (lost) throw new Error(`the table has no row "${lost}"`);
  return (row, payload) => MEANT[row][cells[row][payload.kind]](payload);
}
