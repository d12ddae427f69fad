// Reconnect storms: some hundred clients of all kinds are cut at the same moment, again and again, while somebody goes on
// publishing. What each heard is looked through: nothing lost, nothing twice, and who lost something was told so.
//
//   node crowd/storm.mjs TAIWA
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check.
import { Clients } from '../centrifuge/clients.mjs';
import { Proxy, Site } from '../site.mjs';
import { holds, runAll, same, until } from '../words.mjs';
import { environment, gather as gatherAll, judge, packages } from './listener.mjs';

const SETTINGS = `
[limits.channel]
page_max = 10000

[dialects.sse]
retry = "100ms"

[[namespace]]
name = "long"
history_size = 10000
recovery = "stream"
rights = { subscribe = "all", publish = "all" }

[[namespace]]
name = "short"
history_size = 50
recovery = "stream"
rights = { subscribe = "all", publish = "all" }
`;
/** How many clients of each kind there are in a crowd. */
const CROWD = { 'json-websocket': 240, 'protobuf-websocket': 80, 'json-stream': 20, 'json-sse': 20, 'protobuf-stream': 20, events: 120 };
const CUTS = 3;
const WAIT_MS = 60_000;

const gather = (http, channel, share) => gatherAll(CROWD, http, channel, share);

/** Publishes 1, 2, 3 … until it is told to stop. */
class Publisher {
  said = 0;
  #stopped = false;

  static async open(http, channel) {
    const it = new Publisher();
    const clients = new Clients('json-websocket', packages, environment);
    it.client = await clients.connect(http);
    it.running = it.#run(channel);
    // A failure is told by `stop`.
    it.running.catch(() => {});
    return it;
  }

  async #run(channel) {
    while (!this.#stopped) {
      await this.client.publish(channel, this.said + 1);
      this.said += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  more(count) {
    const due = this.said + count;
    return until(`${count} more publications`, () => this.said >= due, WAIT_MS);
  }

  async stop() {
    this.#stopped = true;
    await this.running;
    this.client.disconnect();
    return this.said;
  }
}

const site = await Site.start(process.argv[2], SETTINGS);
const [early, late] = [await Proxy.before(site), await Proxy.before(site)];

await runAll({
  async 'nothing-lost'() {
    const crowd = await gather(early.http, 'long:storm');
    const publisher = await Publisher.open(site.http, 'long:storm');
    for (let cut = 1; cut <= CUTS; cut += 1) {
      await publisher.more(20);
      const { said } = publisher;
      early.cut();
      await until(`all are back from cut ${cut}`, () => crowd.every((it) => it.last > said), WAIT_MS);
    }
    const last = await publisher.stop();
    await until('all heard the last', () => crowd.every((it) => it.last >= last), WAIT_MS).catch(() => {});
    judge(crowd, last);
    const gaps = crowd.filter((it) => it.story.includes('gap')).length;
    same(gaps, 0, 'clients that were told of a gap');
    holds(crowd.every((it) => it.returns >= CUTS), 'not all were cut each time');
    for (const it of crowd) it.close();
  },
  async 'honest-gaps'() {
    const [quick, slow] = [await gather(early.http, 'short:storm', 0.3), await gather(late.http, 'short:storm', 0.3)];
    const crowd = [...quick, ...slow];
    const publisher = await Publisher.open(site.http, 'short:storm');
    for (let cut = 1; cut <= CUTS; cut += 1) {
      await publisher.more(20);
      late.shut();
      early.cut();
      // More than the history has.
      await publisher.more(70);
      late.open();
      const { said } = publisher;
      await until(`all are back from cut ${cut}`, () => crowd.every((it) => it.last > said), WAIT_MS);
    }
    const last = await publisher.stop();
    await until('all heard the last', () => crowd.every((it) => it.last >= last), WAIT_MS).catch(() => {});
    judge(crowd, last);
    const gaps = (all) => all.map((it) => it.story.filter((word) => word === 'gap').length);
    holds(gaps(slow).every((count) => count >= CUTS), 'who was away for long was not told each time');
    holds(gaps(quick).some((count) => count < CUTS), 'nobody of those who came back at once recovered');
    for (const it of crowd) it.close();
  },
  async 'ends-well'() {
    await site.finish();
  },
}, console.log, 150_000);
process.exit(0);
