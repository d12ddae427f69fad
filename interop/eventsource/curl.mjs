// `curl -N` as a listener: event streams, lines of JSON and long polls, byte by byte.
import { spawn } from 'node:child_process';

import { same, until, within } from '../words.mjs';
import { Speaker } from './clients.mjs';

/** A curl that writes out at once what arrives. */
class Curl {
  text = '';

  constructor(...given) {
    this.program = spawn('curl', ['-N', '-s', '-S', '--max-time', '30', ...given]);
    this.program.stdout.setEncoding('utf8').on('data', (it) => (this.text += it));
    this.ended = new Promise((resolve) => this.program.once('close', resolve));
  }

  has(text) {
    return until(`${JSON.stringify(text)} of ${JSON.stringify(this.text.slice(-200))}`, () => this.text.includes(text));
  }

  kill() {
    this.program.kill('SIGKILL');
    return this.ended;
  }
}

export function curlChecks(site, WebSocket) {
  const speak = (channel) => Speaker.open(WebSocket, `${site.ws}/${channel}?echo=true`);
  /** The events of a stream without `retry` and what the server says of itself. */
  const events = (text) =>
    text.split('\n\n').filter((it) => it && !it.startsWith('retry:') && !it.includes('taiwa:here'));
  return {
    async 'curl-events'() {
      const curl = new Curl('-i', `${site.http}/sse/curl`);
      await curl.has('taiwa:here');
      same(/^HTTP\/1.1 200 /.test(curl.text), true, 'status');
      same(/\r\ncontent-type: text\/event-stream/i.test(curl.text), true, 'content-type');
      same(/\r\ncache-control: no-store/i.test(curl.text), true, 'cache-control');
      const it = await speak('curl');
      await it.say('対話', 'two\nlines');
      await curl.has('data: two\ndata: lines\n\n');
      await curl.kill();
      const [, id] = /\nid: ?(.*)\ndata: 対話\n/.exec(curl.text) ?? [];
      // It goes on behind what it heard first, as a program would that keeps the identifier.
      await it.say('meanwhile');
      const again = new Curl('-H', `Last-Event-ID: ${id}`, `${site.http}/sse/curl`);
      await again.has('data: meanwhile\n\n');
      await it.say('now');
      await again.has('data: now\n\n');
      await again.kill();
      const heard = events(again.text).map((one) => one.replace(/^id:.*\n/m, ''));
      same(heard, ['data: two\ndata: lines', 'data: meanwhile', 'data: now']);
      it.close();
    },
    async 'curl-lines'() {
      const curl = new Curl('-H', 'Accept: application/x-ndjson', `${site.http}/sse/lines`);
      await curl.has('"id"');
      const it = await speak('lines');
      await it.say('a "b"\n', new Uint8Array([0, 255, 16]));
      await curl.has('AP8Q');
      await curl.kill();
      const said = curl.text.trim().split('\n').map((one) => JSON.parse(one)).filter((one) => one.channel);
      same(said.map(({ id, ...rest }) => rest), [
        { channel: 'lines', data: 'a "b"\n' },
        { channel: 'lines', data_base64: 'AP8Q' },
      ]);
      it.close();
    },
    async 'curl-polls'() {
      const poll = async (query) => {
        const curl = new Curl(`${site.http}/sse/polls?poll=true${query}`);
        const code = await within(curl.ended, 10_000, 'a poll');
        same(code, 0, 'exit code of curl');
        return curl.text.trim().split('\n').map((one) => JSON.parse(one));
      };
      const [{ id }] = await poll('');
      const it = await speak('polls');
      const waits = poll(`&lastEventId=${id}`);
      await it.say('1');
      let heard = await waits;
      same(heard.map((one) => one.data), ['1']);
      await it.say('2', '3');
      heard = await poll(`&lastEventId=${heard.at(-1).id}`);
      same(heard.map((one) => one.data), ['2', '3']);
      it.close();
    },
    async 'curl-refused'() {
      const curl = new Curl('-o', '/dev/null', '-w', '%{http_code}', `${site.http}/sse/nowhere:a`);
      await within(curl.ended, 10_000, 'an answer');
      same(curl.text, '404');
    },
  };
}
