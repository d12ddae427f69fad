// The page's checks in Firefox.
import { run } from '../browser.mjs';
import { launch } from './launch.mjs';

const browser = await launch();
await run({ newPage: () => browser.newPage(), streams: false, quit: () => browser.close() });
