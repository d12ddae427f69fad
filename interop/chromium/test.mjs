// The page's checks in Chromium.
import { run } from '../browser.mjs';
import { launch } from './launch.mjs';

const browser = await launch();
await run({ newPage: () => browser.newPage(), streams: true, quit: () => browser.close() });
