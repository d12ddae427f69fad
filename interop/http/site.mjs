// A `taiwa serve` with TLS, and how it sees by which version of HTTP its clients came.
import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { WebSocket } from 'ws';

import { API_KEY, Site } from '../site.mjs';
import { STEP_MS, within } from '../words.mjs';

const folder = mkdtempSync(join(tmpdir(), 'taiwa-http-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
/** A certificate, and its key. */
export const [cert, key] = ['cert.pem', 'key.pem'].map((it) => join(folder, it));
execFileSync('openssl', [
  ...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 -subj /CN=localhost'.split(' '),
  ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert],
], { stdio: 'ignore' });

/** The hash of the certificate's public key, as browsers have it in lists of exceptions. */
export const spki = createHash('sha256')
  .update(createPublicKey(readFileSync(cert)).export({ type: 'spki', format: 'der' }))
  .digest('base64');

/** The hash of the certificate, as pages have it in `serverCertificateHashes`. */
export const certificateHash = createHash('sha256').update(new X509Certificate(readFileSync(cert)).raw).digest();

/** What a server of a suite of its own speaks TLS with. */
export const tlsFlags = ['--tls-cert', cert, '--tls-key', key];

const SETTINGS = `
[api]
keys = ["${API_KEY}"]
`;

/** Starts a server with TLS. */
export function startTls(taiwa, flags = [], settings = SETTINGS) {
  return Site.start(taiwa, settings, [...tlsFlags, ...flags]);
}

/** Starts one without. */
export function startPlain(taiwa, flags = []) {
  return Site.start(taiwa, SETTINGS, flags);
}

/** Resolves to `PATH VERSION` of all that the server's list of connections has, sorted. */
export async function seen(site) {
  const socket = new WebSocket(`${site.ws}/.taiwa/connections`, { rejectUnauthorized: false });
  try {
    const report = new Promise((resolve, reject) => socket.once('message', resolve).once('error', reject));
    const { rows } = JSON.parse(await within(report, STEP_MS, 'the list of connections'));
    return rows.map(({ path, http }) => `${path} ${http}`).sort();
  } finally {
    socket.close();
  }
}
