// Debian's Chromium, driven by playwright-core.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { run } from '../browser.mjs';

const profile = mkdtempSync(join(tmpdir(), 'taiwa-chromium-'));
process.on('exit', () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  timeout: 30_000,
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
await run({ newPage: () => browser.newPage(), streams: true, quit: () => browser.close() });
