// The app behind the webhooks of the Socket.IO checks.
import http from 'node:http';

const refuse = (kind, message, details) => ({ error: { kind, message, details } });
const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const ANSWERS = {
  connect({ client, token, payload }) {
    const { scope } = client;
    if (scope === '/vip' && !token) return refuse('unauthorized', 'only with a token');
    if (token === undefined || token === '') return { result: {} };
    if (!token.startsWith('user-')) return refuse('unauthorized', 'not one of our tokens', { shown: token });
    const channels = payload?.json?.rooms?.map((it) => [it, {}]) ?? [];
    return { result: { user: token.slice(5), info: { name: token }, channels: Object.fromEntries(channels) } };
  },
  async call({ client, method, payload }) {
    if (method === 'echo') return { result: { payload } };
    if (method === 'who') return { result: { payload: { json: { user: client.user ?? null, scope: client.scope ?? null } } } };
    if (method === 'session') return { result: { payload: { text: client.session } } };
    if (method === 'slow') {
      await soon(700);
      return { result: { payload } };
    }
    if (method === 'trial') return { error: { kind: 'forbidden', message: 'the trial is over' } };
    if (method === 'away') return { disconnect: { code: 4001, reason: 'as it wished', may_return: false } };
    return refuse('not_found', 'there is no such method');
  },
};

/** Starts it; resolves to its settings in TOML and to what it was asked. */
export async function startBackend() {
  const asked = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const it of request.setEncoding('utf8')) body += it;
    const { data } = JSON.parse(body);
    const kind = request.url.slice(1);
    asked.push({ kind, ...data });
    const answer = (await ANSWERS[kind]?.(data)) ?? {};
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answer));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = `http://127.0.0.1:${server.address().port}`;
  const toml = `[webhooks.url]\nconnect = "${at}/connect"\ncall = "${at}/call"\n`;
  return { toml, asked };
}
