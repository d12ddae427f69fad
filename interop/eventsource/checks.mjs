// What an `EventSource` proves against taiwa: the same checks run with npm `eventsource` in Node and with Chromium's.
import { holds, same, until } from '../words.mjs';
import { Listener, Speaker } from './clients.mjs';

/** What holds of the channels, the site is told in TOML. */
export const SETTINGS = `
[api]
keys = ["a-key-of-the-checks-and-of-nobody-else"]

[dialects.sse]
retry = "100ms"

[[namespace]]
history_size = 100
recovery = "stream"
rights = { subscribe = "all", publish = "all", history = "all" }

[[namespace]]
name = "short"
history_size = 2
recovery = "stream"
rights = { subscribe = "all", publish = "all" }

[[namespace]]
name = "cache"
history_size = 1
recovery = "last"
rights = { subscribe = "all", publish = "all" }

[[namespace]]
name = "closed"
rights = { subscribe = "none", publish = "none" }
`;

const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, n) => `${first + n}`);

/** What is proven, by name. `near` is where lines can be cut, `far` where they are not. */
export function checksOf({ EventSource, WebSocket, near, far, control }) {
  const made = [];
  const keep = async (making) => {
    const it = await making;
    made.push(it);
    return it;
  };
  const listen = (path) => keep(Listener.open(EventSource, `${near}/sse${path}`));
  const speaker = (channel) => keep(Speaker.open(WebSocket, `${far.replace('http', 'ws')}/${channel}?echo=true`));
  const away = async (listener, meanwhile) => {
    const failed = listener.failed.length;
    await control('shut');
    await until('it notices', () => listener.failed.length > failed);
    await meanwhile();
    await control('open');
  };
  const checks = {
    async hears() {
      const listener = await listen('/hears');
      const it = await speaker('hears');
      await it.say('こんにちは 𠮷', 'two\nlines', '', ' blank in front', new Uint8Array([0, 255, 16]), '{"a": 1}');
      await listener.heard(5);
      same(listener.all('message'), ['こんにちは 𠮷', 'two\nlines', '', ' blank in front', '{"a": 1}']);
      same(listener.all('base64'), ['AP8Q']);
      same(listener.source.readyState, 1);
    },
    async named() {
      const listener = await listen('/named');
      await control('api', 'publish', { channel: 'named', event: 'greeting', text: 'こんにちは' });
      await control('api', 'publish', { channel: 'named', event: 'greeting', base64: 'AP8Q' });
      await control('api', 'publish', { channel: 'named', data: { plain: [1] } });
      await listener.heard(1);
      const [greeting, bytes, plain] = ['greeting', 'greeting;base64', 'message'].map((name) => listener.all(name));
      same([greeting, bytes, plain], [['こんにちは'], ['AP8Q'], ['{"plain":[1]}']]);
    },
    async several() {
      const listener = await listen('?channel=a&channel=b%20c&format=json');
      const [a, b] = [await speaker('a'), await speaker('b%20c')];
      await a.say('1');
      await b.say('2', new Uint8Array([1]));
      await a.say('3');
      await listener.heard(4);
      same(listener.all('message').map((it) => JSON.parse(it)), [
        { channel: 'a', data: '1' },
        { channel: 'b c', data: '2' },
        { channel: 'b c', data_base64: 'AQ==' },
        { channel: 'a', data: '3' },
      ]);
    },
    async resume() {
      const listener = await listen('/resume');
      const it = await speaker('resume');
      await it.say('1', '2');
      await listener.heard(2);
      for (const first of [3, 7]) {
        await away(listener, () => it.say(`${first}`, `${first + 1}`));
        await listener.heard(first + 1);
        await it.say(`${first + 2}`, `${first + 3}`);
        await listener.heard(first + 3);
      }
      same([listener.all('message'), listener.all('taiwa:gap')], [numbers(1, 10), []]);
      holds(listener.opened >= 3, `opened ${listener.opened} times`);
      holds(new Set(listener.events.map(({ id }) => id)).size >= 10, 'identifiers repeat');
    },
    async 'several-resume'() {
      const listener = await listen('/several-a?channel=several-b&format=json');
      const [a, b] = [await speaker('several-a'), await speaker('several-b')];
      await a.say('1');
      await b.say('2');
      await listener.heard(2);
      await away(listener, async () => {
        await b.say('3', '4');
        await a.say('5');
      });
      await listener.heard(5);
      await a.say('6');
      await listener.heard(6);
      const said = listener.all('message').map((it) => JSON.parse(it));
      const of = (channel) => said.filter((it) => it.channel === channel).map((it) => it.data);
      same([of('several-a'), of('several-b')], [['1', '5', '6'], ['2', '3', '4']]);
      same(listener.all('taiwa:gap'), []);
    },
    async 'in-mid-flow'() {
      const listener = await listen('/in-mid-flow');
      const it = await speaker('in-mid-flow');
      for (const n of numbers(1, 90)) {
        await it.say(n);
        if (n % 30 === 20) await control('cut');
      }
      await listener.heard(90);
      same([listener.all('message'), listener.all('taiwa:gap')], [numbers(1, 90), []]);
      holds(listener.failed.length > 0, 'it was never cut');
    },
    async gap() {
      const listener = await listen('/short:gap');
      const it = await speaker('short:gap');
      await it.say('1');
      await listener.heard(1);
      await away(listener, () => it.say('2', '3', '4', '5', '6'));
      await listener.heard(3);
      await it.say('7');
      await listener.heard(4);
      // What the history still has follows the gap.
      same(listener.all('message'), ['1', '5', '6', '7']);
      same(listener.all('taiwa:gap').map((one) => JSON.parse(one).channel), ['short:gap']);
      const order = listener.events.map(({ name }) => name);
      holds(order.indexOf('taiwa:gap') < order.lastIndexOf('message') - 2, 'the gap is told behind what follows it');
    },
    async last() {
      const it = await speaker('cache:a');
      await it.say('old', 'new');
      const listener = await listen('/cache:a?last=true');
      await it.say('newer');
      await listener.heard(2);
      same(listener.all('message'), ['new', 'newer']);
    },
    async refused() {
      for (const channel of ['closed:a', 'nowhere:a']) {
        const listener = await keep(Promise.resolve(new Listener(EventSource, `${near}/sse/${channel}`)));
        await until('it gives up', () => listener.source.readyState === 2);
        same([listener.events, listener.opened], [[], 0], channel);
      }
    },
    async restart() {
      const listener = await listen('/restart');
      const before = await speaker('restart');
      await before.say('1', '2');
      await listener.heard(2);
      await control('restart');
      const after = await speaker('restart');
      await after.say('3');
      await until('it is back and told', () => listener.all('taiwa:gap').length > 0);
      await after.say('4');
      await until('what is new', () => listener.all('message').at(-1) === '4');
      same(listener.all('taiwa:disconnect').map((it) => JSON.parse(it).reconnect), [true]);
      same(listener.all('taiwa:gap').map((it) => JSON.parse(it).channel), ['restart']);
      // 3 is part of the gap, unless it was said when the listener was back already.
      const heard = listener.all('message');
      holds(['1,2,3,4', '1,2,4'].includes(`${heard}`), `heard ${heard}`);
      same(before.closed?.code, 1012);
    },
  };
  const tidied = Object.entries(checks).map(([name, check]) => [
    name,
    async () => {
      try {
        return await check();
      } finally {
        for (const it of made.splice(0)) it.close();
        await control('open');
      }
    },
  ]);
  return Object.fromEntries(tidied);
}
