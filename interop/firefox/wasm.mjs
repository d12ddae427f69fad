// The module's checks in Firefox, which has no WebSocketStream.
import { run } from '../wasm.mjs';
import { launch } from './launch.mjs';

const browser = await launch();
await run({ newPage: () => browser.newPage(), streams: false, quit: () => browser.close() });
