// The app behind the webhooks of the Phoenix checks: what a Phoenix app does in `connect`, `join` and `handle_in`.
import http from 'node:http';

const ANSWERS = {
  connect({ payload, token }) {
    const params = payload?.json ?? {};
    if (params.refuse) return { error: { kind: params.refuse, message: 'not you' } };
    return { result: { user: token ?? params.user ?? undefined } };
  },
  subscribe({ channel, payload }) {
    const params = payload?.json ?? {};
    if (channel === 'asked:closed') return { error: { message: 'not you', details: { action: 'ignore' } } };
    if (channel === 'asked:crash') return { nonsense: true };
    const result = { info: { seat: params.seat }, payload: { json: { hello: params.name ?? null } } };
    return { result: channel === 'asked:short' ? { ...result, expires_in: 1, client_refreshes: true } : result };
  },
  call({ method, payload }) {
    if (method === 'call:echo') return { result: { payload } };
    if (method === 'call:bytes') return { result: { payload: { base64: Buffer.from([1, 2, 3, 255]).toString('base64') } } };
    if (method === 'call:trial') return { error: { code: 1402, message: 'the trial is over', details: { days: 30 } } };
    return { error: { kind: 'not_found', message: 'nobody answers this' } };
  },
};

/** Starts it; resolves to its settings in TOML. */
export async function startBackend() {
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const it of request.setEncoding('utf8')) body += it;
    const { data } = JSON.parse(body);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(ANSWERS[request.url.slice(1)]?.(data) ?? {}));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = `http://127.0.0.1:${server.address().port}`;
  return `[webhooks.url]\nconnect = "${at}/connect"\nsubscribe = "${at}/subscribe"\ncall = "${at}/call"\n`;
}
