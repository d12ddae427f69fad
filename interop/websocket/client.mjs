// npm websocket as the client of a taiwa server.
import websocket from 'websocket';

import { Line, run } from '../checks.mjs';

function connect(url, { origin, insecure = false }) {
  const client = new websocket.client({
    tlsOptions: { rejectUnauthorized: !insecure },
    maxReceivedFrameSize: 16 << 20,
    maxReceivedMessageSize: 16 << 20,
    fragmentOutgoingMessages: false,
  });
  return new Promise((resolve, reject) => {
    client.on('connectFailed', reject);
    client.on('connect', (connection) => {
      const line = new Line();
      line.extensions = connection.extensions ?? '';
      line.send = (data) => {
        if (typeof data === 'string') connection.sendUTF(data);
        else connection.sendBytes(Buffer.from(data));
      };
      line.sendFragments = (parts) => {
        const text = typeof parts[0] === 'string';
        connection.fragmentOutgoingMessages = true;
        connection.fragmentationThreshold = 4;
        if (text) connection.sendUTF(parts.join(''));
        else connection.sendBytes(Buffer.concat(parts));
        connection.fragmentOutgoingMessages = false;
      };
      line.close = (code, reason) => connection.close(code, reason);
      line.ping = (data) => {
        const pong = new Promise((resolve) => connection.once('pong', resolve));
        connection.ping(data);
        return pong;
      };
      connection.on('message', ({ type, utf8Data, binaryData }) => {
        line.received(type === 'utf8' ? utf8Data : new Uint8Array(binaryData));
      });
      connection.on('close', (code, reason) => line.ended(code, reason));
      resolve(line);
    });
    client.connect(url, null, origin);
  });
}

const can = { ping: true, deflate: false, fragments: true, headers: true, status: true };
await run({ connect, can });
