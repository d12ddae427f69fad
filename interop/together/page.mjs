// The members of a browser, driven from outside: join, say, hear.
import * as json from '/node_modules/centrifuge/build/index.mjs';
import * as protobuf from '/node_modules/centrifuge/build/protobuf/index.mjs';
import * as phoenixPackage from '/node_modules/phoenix/priv/static/phoenix.mjs';
import { io } from '/node_modules/socket.io-client/dist/socket.io.esm.min.js';

import * as crowd from './members.mjs';

let members;

export async function join({ http, channel }) {
  const { EventSource, WebSocket } = window;
  const packages = { json, protobuf };
  const phoenix = { ...phoenixPackage, WebSocket };
  members = await crowd.join({ EventSource, WebSocket, packages, environment: {}, phoenix, io, http, channel });
  return Object.keys(members);
}

export const say = ({ name, payload }) => members[name].say(payload).then(() => {});
/** As one text: browsers take seconds to hand out the same as values. */
export const heard = () => JSON.stringify(Object.fromEntries(Object.entries(members).map(([name, it]) => [name, it.heard()])));
