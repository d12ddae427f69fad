// Pages of another origin than the server's, with the modules of this folder: what runs in them needs CORS to be right.
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));

/** Serves an empty page at `/` and the modules below this folder; resolves to its origin and what ends it. */
export async function servePages() {
  const server = http.createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://page').pathname);
    if (path === '/') {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      return response.end('<!doctype html><link rel="icon" href="data:,"><title>checks</title>');
    }
    try {
      if (!path.endsWith('.mjs') && !path.endsWith('.js')) throw new Error('no module');
      const module = await readFile(join(HERE, path));
      response.setHeader('content-type', 'text/javascript; charset=utf-8');
      response.end(module);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, close };
}
