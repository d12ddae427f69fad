// Deno's WebSocketStream as the client of a taiwa server; run by deno.
import { Line, run } from '../checks.mjs';

async function connect(url, { origin }) {
  const socket = new WebSocketStream(url, { headers: origin ? { origin } : undefined });
  // Who is refused hears of it from `opened`.
  socket.closed.catch(() => {});
  const { readable, writable, extensions } = await socket.opened;
  const [line, writer] = [new Line(), writable.getWriter()];
  line.extensions = extensions;
  line.send = (data) => void writer.write(data);
  let said;
  line.close = (closeCode, reason) => {
    said = { closeCode, reason };
    socket.close(closeCode === undefined ? {} : said);
  };
  (async () => {
    for await (const message of readable) line.received(message);
  })().catch(() => {});
  socket.closed.then(
    ({ closeCode, reason }) => line.ended(closeCode, reason),
    // Deno 2.9 reads twice at once behind a Close frame of ours, and then one end in a hundred is an error with the answer's reason
    // as its message and without its code.
    ({ closeCode, reason, message }) => {
      const isLost = said && closeCode === null && message === (said.reason ?? '');
      return isLost ? line.ended(said.closeCode ?? 1005, message) : line.ended(closeCode, reason);
    },
  );
  return line;
}

await run({ connect, can: { ping: false, deflate: false, headers: true, status: false } });
