// Where no WebSocket comes through, in Node and in pages alike: clients stay on polling, or fall back to it.
import { same, until } from '../words.mjs';

/** What is proven against a server in front of which something lets no WebSocket through. */
export function fallback(io, http) {
  const check = async (options) => {
    const socket = io(http, { forceNew: true, ...options });
    try {
      let tried = 0;
      socket.io.on('open', () => socket.io.engine.on('upgradeError', () => (tried += 1)));
      await until('connected', () => socket.connected);
      const heard = [];
      socket.on('said', (it) => heard.push(it));
      for (const it of [1, 2, 3]) socket.emit('said', it);
      await until('its own words', () => heard.length === 3);
      if (options.transports === undefined) await until('a WebSocket was tried', () => tried > 0);
      same([heard, socket.io.engine.transport.name], [[1, 2, 3], 'polling']);
    } finally {
      socket.disconnect();
    }
  };
  return {
    'stays-on-polling': () => check({}),
    'falls-back': () => check({ transports: ['websocket', 'polling'], tryAllTransports: true }),
  };
}
