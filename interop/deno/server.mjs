// `Deno.upgradeWebSocket` as the server of a taiwa client: `deno run server.mjs [CERT KEY]`. Prints `listening PORT`, and
// `closed PATH CODE REASON` at each end.
const [cert, key] = Deno.args.map((path) => Deno.readTextFileSync(path));
const onListen = ({ port }) => console.log(`listening ${port}`);
Deno.serve({ hostname: '127.0.0.1', port: 0, cert, key, onListen }, (request) => {
  if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') return new Response('a WebSocket server', { status: 426 });
  const { socket, response } = Deno.upgradeWebSocket(request);
  const { pathname } = new URL(request.url);
  socket.onclose = ({ code, reason }) => console.log(`closed ${pathname} ${code} ${reason}`);
  socket.onmessage = ({ data }) => socket.send(data);
  socket.onopen = () => {
    if (pathname === '/close') socket.close(4002, 'またね');
    if (pathname === '/big') socket.send(new Uint8Array((1 << 20) + 1));
  };
  return response;
});
