// The module's checks in Chromium.
import { run } from '../wasm.mjs';
import { launch } from './launch.mjs';

const browser = await launch();
await run({ newPage: () => browser.newPage(), streams: true, quit: () => browser.close() });
