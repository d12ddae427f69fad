// Deno as the server of a taiwa client: sessions of WebTransport over its QUIC; run by deno.
//
//   deno run session_server.mjs CERT KEY
//
// prints `listening PORT`, and `closed PATH CODE REASON` at each end. What it does on which path stands in
// crates/taiwa/examples/interop_session.rs; it can refuse no path.
const [cert, key] = Deno.args.map((path) => Deno.readTextFileSync(path));
const endpoint = new Deno.QuicEndpoint({ hostname: '127.0.0.1', port: 0 });
const listener = endpoint.listen({ cert, key, alpnProtocols: ['h3'] });
console.log(`listening ${endpoint.addr.port}`);

async function hear(readable) {
  const parts = [];
  for await (const part of readable) parts.push(part);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function say(writable, what) {
  const writer = writable.getWriter();
  if (what.length > 0) await writer.write(what);
  await writer.close();
}

async function echo(session) {
  const streams = async () => {
    for await (const { readable, writable } of session.incomingBidirectionalStreams) {
      readable.pipeTo(writable).catch(() => {});
    }
  };
  const ways = async () => {
    for await (const readable of session.incomingUnidirectionalStreams) {
      hear(readable).then(async (heard) => say(await session.createUnidirectionalStream(), heard)).catch(() => {});
    }
  };
  const datagrams = async () => {
    const writer = session.datagrams.writable.getWriter();
    for await (const datagram of session.datagrams.readable) await writer.write(datagram);
  };
  await Promise.allSettled([streams(), ways(), datagrams()]);
}

async function greet(session) {
  const { readable, writable } = await session.createBidirectionalStream();
  await say(writable, new TextEncoder().encode('who is there?'));
  const answer = new TextDecoder().decode(await hear(readable));
  await say(await session.createUnidirectionalStream(), new TextEncoder().encode(`welcome, ${answer}`));
}

async function attend(incoming) {
  const session = await Deno.upgradeWebTransport(await incoming.accept());
  const { pathname } = new URL(session.url);
  session.closed.then(
    ({ closeCode, reason }) => console.log(`closed ${pathname} ${closeCode} ${reason}`),
    (error) => console.log(`closed ${pathname} - ${error.message}`),
  );
  await session.ready;
  if (pathname === '/close') session.close({ closeCode: 4002, reason: 'またね' });
  else if (pathname === '/open') await greet(session);
  else await echo(session);
}

for (;;) {
  const incoming = await listener.incoming();
  attend(incoming).catch((error) => console.error(error.message));
}
