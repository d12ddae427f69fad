// The app behind the webhooks of the Centrifuge checks.
import http from 'node:http';

const ANSWERS = {
  call({ method, payload }) {
    if (method === 'echo') return { result: { payload } };
    if (method === 'trial') return { error: { code: 1402, message: 'the trial is over' } };
    return { error: { kind: 'not_found', message: 'there is no such method' } };
  },
  publish({ payload }) {
    const { team, away } = payload.json;
    if (away) return { disconnect: { code: away, reason: 'as it wished', may_return: away < 4500 } };
    return { result: { tags: { team } } };
  },
};

/** Starts it; resolves to its settings in TOML and to what it was told. */
export async function startBackend() {
  const told = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const it of request.setEncoding('utf8')) body += it;
    const { data } = JSON.parse(body);
    const kind = request.url.slice(1);
    if (kind === 'tell') told.push(data.payload.json.word);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(ANSWERS[kind]?.(data) ?? {}));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = `http://127.0.0.1:${server.address().port}`;
  const toml = `[webhooks.url]\ncall = "${at}/call"\npublish = "${at}/publish"\ntell = "${at}/tell"\n`;
  return { toml, told };
}
