// Node's http2 as a client: opens a WebSocket by extended CONNECT (RFC 8441) at the origin that is its argument, has a text
// echoed, closes it, and says how the stream ended. Frames are written by hand: nothing has to be installed.
import http2 from 'node:http2';

const patience = setTimeout(() => process.exit(1), 30_000);
const session = http2.connect(process.argv[2]);
await new Promise((resolve) => session.once('remoteSettings', resolve));
if (!session.remoteSettings.enableConnectProtocol) throw new Error('the server takes no extended CONNECT');

const head = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', 'sec-websocket-version': '13' };
const stream = session.request(head, { endStream: false });
const answer = await new Promise((resolve) => stream.once('response', resolve));
if (answer[':status'] !== 200) throw new Error(`status ${answer[':status']}`);

/** A client's frame with a mask of zeros. */
const frame = (first, payload) => Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
stream.write(frame(0x81, Buffer.from('hello')));

let read = Buffer.alloc(0);
let isClosed = false;
stream.on('data', (data) => {
  read = Buffer.concat([read, data]);
  while (read.length >= 2 && read.length >= 2 + read[1]) {
    const [first, payload] = [read[0], read.subarray(2, 2 + read[1])];
    read = read.subarray(2 + payload.length);
    if (first === 0x81) {
      console.log(`echo: ${payload}`);
      stream.write(frame(0x88, Buffer.from([3, 0xe8])));
    } else if (first === 0x88) {
      console.log(`closed: ${payload.readUInt16BE()}`);
      isClosed = true;
    }
  }
});
stream.on('end', () => stream.end());
stream.on('close', () => {
  console.log(`ended with ${isClosed ? stream.rstCode : 'no Close frame'}`);
  clearTimeout(patience);
  session.close();
});
