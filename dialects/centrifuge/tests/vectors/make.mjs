// Writes commands.txt and replies.txt: what npm centrifuge 5.8.0 makes of the messages below.
//
// In an empty folder: `npm install centrifuge@5.8.0`, copy this file there, `node make.mjs`, and copy the two files back.
// Each line is a name, the JSON form and the form of Protocol Buffers in hexadecimal digits, between tabs. Lines of a dash
// instead of JSON have none. check.py has PyPI's centrifuge-python say the same of them.
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { Centrifuge } = require('centrifuge/build/protobuf')
const codec = new Centrifuge('ws://127.0.0.1:9', { websocket: class {} })._codec

/** Stands for a payload: its bytes in one encoding, JSON in the other. */
class Raw { constructor(text, json) { this.text = text; this.json = json } }
const raw = text => new Raw(text, text)
const delta = text => new Raw(text, JSON.stringify(text))

function json(it) {
  if (it instanceof Raw) return it.json
  if (Array.isArray(it)) return `[${it.map(json).join(',')}]`
  if (it instanceof Uint8Array || typeof it !== 'object') return JSON.stringify(it)
  return `{${Object.entries(it).map(([key, value]) => `${JSON.stringify(key)}:${json(value)}`).join(',')}}`
}

function bytes(it) {
  if (it instanceof Raw) return new TextEncoder().encode(it.text)
  if (Array.isArray(it)) return it.map(bytes)
  if (it instanceof Uint8Array || typeof it !== 'object') return it
  return Object.fromEntries(Object.entries(it).map(([key, value]) => [key, bytes(value)]))
}

const hex = data => Buffer.from(data).toString('hex')
const filter = {
  op: 'and',
  nodes: [
    { key: 'a', cmp: 'eq', val: '1' },
    { op: 'not', nodes: [{ key: 'b', cmp: 'in', vals: ['x', '対'] }] },
  ],
}

const commands = {
  connect: { id: 1, connect: {} },
  connect_all: {
    id: 2,
    connect: {
      token: 'tök', data: raw('{"a":[1, 2.50]}'), name: 'js', version: '7', headers: { h: 'v' },
      subs: { 'server:ch': { recover: true, epoch: '1f', offset: 300 } },
    },
  },
  subscribe: { id: 3, subscribe: { channel: 'news', flag: 1 } },
  subscribe_all: {
    id: 4294967295,
    subscribe: {
      channel: 'news:対話', token: 't', recover: true, epoch: 'abc', offset: 9007199254740991, data: raw('"x"'),
      positioned: true, recoverable: true, join_leave: true, delta: 'fossil', tf: filter, flag: 3,
    },
  },
  subscribe_map: { id: 5, subscribe: { channel: 'map', type: 1 } },
  unsubscribe: { id: 6, unsubscribe: { channel: 'news' } },
  publish: { id: 7, publish: { channel: 'news', data: raw('{"text": "\\u5bfe\\u8a71", "n": 1e3}') } },
  publish_map: { id: 8, publish: { channel: 'news', data: raw('1'), type: 1, key: 'k' } },
  presence: { id: 9, presence: { channel: 'news' } },
  presence_stats: { id: 10, presence_stats: { channel: 'news' } },
  history: { id: 11, history: { channel: 'news' } },
  history_all: {
    id: 12, history: { channel: 'news', limit: -1, since: { offset: 5, epoch: 'ff' }, reverse: true },
  },
  ping: { id: 13, ping: {} },
  send: { send: { data: raw('[]') } },
  rpc: { id: 14, rpc: { method: 'sum', data: raw('[1,2]') } },
  refresh: { id: 15, refresh: { token: 't' } },
  sub_refresh: { id: 16, sub_refresh: { channel: 'news', token: 't' } },
  track: { id: 17, sub_refresh: { channel: 'news', type: 1 } },
  pong: {},
}

const client = '0000000000000000000000000000002a'
const info = { user: 'ada', client, conn_info: raw('{"n":1}'), chan_info: raw('[]') }
const publication = {
  data: raw('{"n":1}'), info, offset: 300, tags: { a: '1', b: '対' }, time: 1700000000000,
}
const replies = {
  ping: {},
  error: { id: 1, error: { code: 100, message: 'internal server error', temporary: true } },
  connect: {
    id: 1,
    connect: {
      client, version: '1.0', expires: true, ttl: 60, data: raw('{}'), ping: 25, pong: true, session: 's',
      subs: { 'server:ch': { recoverable: true, epoch: '1f', offset: 7, positioned: true } },
    },
  },
  subscribe: { id: 2, subscribe: {} },
  subscribe_all: {
    id: 2,
    subscribe: {
      expires: true, ttl: 1, recoverable: true, epoch: 'ff', publications: [publication], recovered: true,
      offset: 299, positioned: true, data: raw('"x"'), was_recovering: true,
    },
  },
  unsubscribe: { id: 3, unsubscribe: {} },
  publish: { id: 4, publish: {} },
  presence: { id: 5, presence: { presence: { [client]: info } } },
  presence_stats: { id: 6, presence_stats: { num_clients: 300, num_users: 2 } },
  history: { id: 7, history: { publications: [publication], epoch: 'ff', offset: 300 } },
  pong: { id: 8, ping: {} },
  rpc: { id: 9, rpc: { data: raw('3') } },
  refresh: { id: 10, refresh: { client, version: '1.0', expires: true, ttl: 60 } },
  sub_refresh: { id: 11, sub_refresh: { expires: true, ttl: 60 } },
  pub: { push: { channel: 'news', pub: publication } },
  pub_delta: { push: { channel: 'news', pub: { ...publication, data: delta('7\n5@0,2:2}2yRf0W;'), delta: true } } },
  join: { push: { channel: 'news', join: { info } } },
  leave: { push: { channel: 'news', leave: { info } } },
  unsubscribed: { push: { channel: 'news', unsubscribe: { code: 2500, reason: 'insufficient state' } } },
  message: { push: { message: { data: raw('{}') } } },
  subscribed: {
    push: {
      channel: 'news', subscribe: { recoverable: true, epoch: 'ff', offset: 1, positioned: true, data: raw('1') },
    },
  },
  disconnect: { push: { disconnect: { code: 3001, reason: 'shutdown', reconnect: true } } },
  refreshed: { push: { refresh: { expires: true, ttl: 60 } } },
}

const lines = (cases, encode) =>
  Object.entries(cases).map(([name, it]) => `${name}\t${json(it)}\t${hex(encode([bytes(it)]))}\n`).join('')

const emulation = { session: 'sé', node: 'n', data: '{"id":1,"ping":{}}' }
writeFileSync('commands.txt', lines(commands, it => codec.encodeCommands(it)))
writeFileSync('replies.txt', lines(replies, it => codec.encodeReplies(it)))
writeFileSync(
  'emulation.txt',
  `emulation\t${JSON.stringify(emulation)}\t${hex(codec.encodeEmulationRequest({ ...emulation, data: new TextEncoder().encode(emulation.data) }))}\n`,
)
