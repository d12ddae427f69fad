// What happens to clients because somebody ordered it through the HTTP API.
import { same, until } from '../words.mjs';

export function ordered(clients, { near, control }) {
  const session = (client) => client.story.last('connected').client;
  return {
    async 'api-publish'() {
      const one = await clients.connect(near);
      const it = await clients.subscribe(one, 'api-publish');
      const { delivered } = await control('api', 'publish', {
        channel: 'api-publish', data: { 対話: 1 }, tags: { team: 'red' }, receipt: true,
      });
      same(delivered, 1, 'receipts');
      await it.heard(1);
      same([it.values(), it.story.last('publication').tags], [[{ 対話: 1 }], { team: 'red' }]);
      same(it.story.last('publication').info ?? null, null, 'who said it');
    },
    async 'api-unsubscribe'() {
      const one = await clients.connect(near);
      const it = await clients.subscribe(one, 'api-unsubscribe');
      await control('api', 'unsubscribe', { session: session(one), channel: 'api-unsubscribe' });
      await until('it hears of it', () => it.story.last('unsubscribed'));
      same([it.story.last('unsubscribed').code, it.state], [2000, 'unsubscribed']);
      it.subscribe();
      await it.ready(10_000);
    },
    async 'api-subscribe'() {
      const one = await clients.connect(near);
      await control('api', 'subscribe', { session: session(one), channel: 'news:api', data: { welcome: 1 } });
      await until('it hears of it', () => one.story.last('subscribed'));
      const { channel, data } = one.story.last('subscribed');
      same([channel, clients.unwrap(data)], ['news:api', { welcome: 1 }]);
      await control('api', 'publish', { channel: 'news:api', data: 'heard' });
      await until('a publication', () => one.story.last('publication')?.value === 'heard');
      await control('api', 'unsubscribe', { session: session(one), channel: 'news:api' });
      await until('its end', () => one.story.last('unsubscribed')?.channel === 'news:api');
    },
    async 'api-tell'() {
      const one = await clients.connect(near);
      await control('api', 'tell', { session: session(one), data: { 対話: [] } });
      await until('a message', () => one.story.last('message'));
      same(one.story.last('message').value, { 対話: [] });
    },
    async 'api-disconnect'() {
      const one = await clients.connect(near);
      await control('api', 'disconnect', { session: session(one), code: 4100, reason: 'for a while', may_return: true });
      await until('it comes back', () => one.story.all('connected').length === 2);
      const { code, reason } = one.story.last('connecting');
      same([code, reason], [4100, 'for a while']);
      await control('api', 'disconnect', { session: session(one), code: 4600, reason: 'for good' });
      await until('its end', () => one.story.last('disconnected'));
      same([one.story.last('disconnected').code, one.story.last('disconnected').reason], [4600, 'for good']);
    },
  };
}
