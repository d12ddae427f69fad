// What clients with tokens prove: who they are, what they may, for how long; and what an app says behind webhooks.
import { fails, holds, same, until } from '../words.mjs';

/** What holds of the channels besides those of checks.mjs. */
export const ADMITTED_NAMESPACES = `
[[namespace]]
name = "mine"
history_size = 10
recovery = "stream"
rights = { subscribe = "token", publish = "all", history = "subscribers" }

[[namespace]]
name = "news"
history_size = 10
recovery = "stream"
publisher = true
presence = true
rights = { subscribe = "none", publish = "all", history = "all", presence = "all" }

[[namespace]]
name = "asked"
rights = { subscribe = "all", publish = "app" }
`;

const seconds = () => Math.floor(Date.now() / 1000);

/** Clients whose rights end again and again while the other checks run. */
export async function refreshed(clients, { far, control }) {
  const calls = { connection: 0, subscription: 0 };
  const short = (word, claims) => {
    calls[word] += 1;
    return control('token', { sub: 'ada', ...claims, exp: seconds() + 2 });
  };
  const client = await clients.connect(far, { getToken: () => short('connection', {}) });
  const it = await clients.subscribe(client, 'mine:refreshed', {
    getToken: ({ channel }) => short('subscription', { channel }),
  });
  return { calls, client, it };
}

function known(clients, { near, far, control, refreshed: { calls, client, it } }) {
  return {
    async token() {
      const token = await control('token', { sub: 'ada', info: { name: '対話' }, exp: seconds() + 600 });
      const one = await clients.connect(near, { token });
      const subscription = await clients.subscribe(one, 'token');
      await subscription.publish(clients.wrap(1));
      await subscription.heard(1);
      const { info } = subscription.story.last('publication');
      same([info.user, clients.unwrap(info.connInfo)], ['ada', { name: '対話' }], 'who said it');
      const { clients: present } = await subscription.presence();
      same(Object.values(present).map(({ user }) => user), ['ada']);
    },
    async 'wrong-token'() {
      const one = clients.make(near, { token: await control('token', { sub: 'ada' }, 'another secret of thirty-two bytes!') });
      one.connect();
      await until('it is sent away', () => one.story.last('disconnected'));
      same(one.story.last('disconnected').code, 3500);
    },
    async 'expired-token'() {
      let fetched = 0;
      const token = await control('token', { sub: 'ada', exp: seconds() - 10 });
      const getToken = () => {
        fetched += 1;
        return control('token', { sub: 'ada', exp: seconds() + 600 });
      };
      await clients.connect(near, { token, getToken });
      same(fetched, 1, 'fresh tokens');
    },
    async refresh() {
      await until('two refreshes', () => calls.connection >= 3);
      same([client.state, client.story.all('connecting').length], ['connected', 1]);
    },
    async 'sub-refresh'() {
      await until('two refreshes', () => calls.subscription >= 3);
      same([it.state, it.story.all('subscribing').length], ['subscribed', 1]);
      await it.publish(clients.wrap('still there'));
      await it.heard(1);
      client.disconnect();
    },
    async 'sub-token'() {
      const one = await clients.connect(near, { token: await control('token', { sub: 'bob' }) });
      const code = async (channel, token) => {
        const subscription = clients.prepare(one, channel, { token });
        subscription.subscribe();
        await until('it is refused', () => subscription.story.last('unsubscribed'));
        return subscription.story.last('unsubscribed').code;
      };
      const good = { sub: 'bob', channel: 'mine:a', info: { seat: 7 } };
      same(await code('mine:none', ''), 103, 'without a token');
      same(await code('mine:other', await control('token', good)), 103, 'with a token for another channel');
      same(await code('mine:eve', await control('token', { sub: 'eve', channel: 'mine:eve' })), 103, 'of another user');
      await clients.subscribe(one, 'mine:a', { token: await control('token', good) });
    },
    async 'server-side'() {
      const token = await control('token', { sub: 'ada', subs: { 'news:a': { data: { hi: 1 } }, 'news:b': {} } });
      const one = await clients.connect(near, { token });
      const other = await clients.connect(far);
      const told = () => one.story.all('subscribed').map(({ channel, recovered }) => `${channel} ${recovered}`).sort();
      same(told(), ['news:a false', 'news:b false']);
      same(clients.unwrap(one.story.all('subscribed').find(({ channel }) => channel === 'news:a').data), { hi: 1 });
      await other.publish('news:a', clients.wrap('first'));
      const heard = () => one.story.all('publication').map(({ channel, value }) => [channel, value]);
      await until('a publication', () => heard().length === 1);
      await control('shut');
      await until('it notices', () => one.state !== 'connected');
      await other.publish('news:b', clients.wrap('missed'));
      await other.publish('news:a', clients.wrap('missed, too'));
      await control('open');
      await until('what it missed', () => heard().length === 3);
      same(heard().sort(), [['news:a', 'first'], ['news:a', 'missed, too'], ['news:b', 'missed']]);
      same(told(), ['news:a false', 'news:a true', 'news:b false', 'news:b true']);
      const there = await other.presence('news:a');
      same(Object.values(there.clients).map(({ user }) => user), ['ada']);
    },
  };
}

function asking(clients, { near, far, control }) {
  return {
    async rpc() {
      const one = await clients.connect(near);
      for (const value of [{ 対話: [1, null] }, 'text', 'x'.repeat(100_000)]) {
        same(clients.unwrap((await one.rpc('echo', clients.wrap(value))).data), value);
      }
      same((await fails(one.rpc('nothing', clients.wrap(1)))).code, 104, 'a method that nobody answers');
      const { code, message, temporary } = await fails(one.rpc('trial', clients.wrap(1)));
      same([code, message, temporary ?? false], [1402, 'the trial is over', false]);
    },
    async send() {
      const one = await clients.connect(near);
      const word = `${clients.name} ${Date.now()}`;
      await one.send(clients.wrap({ word }));
      await until('the app hears it', async () => (await control('told')).includes(word));
    },
    async filter() {
      const one = await clients.connect(near);
      const other = await clients.connect(far);
      const red = await clients.subscribe(one, 'asked:filter', { tagsFilter: { key: 'team', cmp: 'eq', val: 'red' } });
      const all = await clients.subscribe(other, 'asked:filter');
      for (const team of ['red', 'blue', 'red', 'green']) await other.publish('asked:filter', clients.wrap({ team }));
      await all.heard(4);
      await other.publish('asked:filter', clients.wrap({ team: 'red', last: true }));
      await red.heard(3);
      same(red.values(), [{ team: 'red' }, { team: 'red' }, { team: 'red', last: true }]);
      same(all.story.all('publication')[1].tags, { team: 'blue' });
    },
    async 'sent-away'() {
      for (const [code, comes] of [[4001, true], [4999, false]]) {
        const one = await clients.connect(near);
        one.publish('asked:away', clients.wrap({ away: code })).catch(() => {});
        await until('it is sent away', () => one.story.all('connecting').length > 1 || one.story.last('disconnected'));
        const told = comes ? one.story.last('connecting') : one.story.last('disconnected');
        same([told.code, told.reason], [code, 'as it wished']);
        if (comes) await until('it comes back', () => one.state === 'connected');
        else same(one.state, 'disconnected');
      }
    },
  };
}

export function admitted(clients, given) {
  return { ...known(clients, given), ...asking(clients, given) };
}
