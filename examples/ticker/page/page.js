// The ticker's page: shows the newest quote of each symbol, and counts those that never came because a newer one took
// their place while this page did not read.
const $ = (id) => document.getElementById(id);
const newest = new Map(); // symbol -> its newest quote
const rows = new Map(); // symbol -> its row
const changed = new Set(); // symbols that are to be drawn
let [read, replaced] = [0, 0];

/** Resolves once this page may read. */
async function mayRead() {
  if (!$("stopped").checked) return;
  $("state").textContent = "not reading";
  await new Promise((resolve) => $("stopped").addEventListener("change", resolve, { once: true }));
  $("state").textContent = "live";
}

/** Gives what comes over a WebSocket. Whoever does not ask for more holds back the server, where the browser can do that. */
async function* messages(url) {
  if ("WebSocketStream" in window) {
    const stream = new WebSocketStream(url);
    stream.closed.catch(() => {}); // reading tells it, too
    try {
      return yield* (await stream.opened).readable;
    } finally {
      stream.close();
    }
  }
  $("stop").hidden = true; // this browser reads whatever comes, and keeps it
  const socket = new WebSocket(url);
  const arrived = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => wake(arrived.push(data));
  socket.onclose = () => wake((socket.isOver = true));
  try {
    for (;;) {
      while (arrived.length > 0) yield arrived.shift();
      if (socket.isOver) return;
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    socket.close();
  }
}

/** Takes a quote, unless there is a newer one. Between two that came, those that are missing were replaced. */
function take(quote, isLive) {
  const last = newest.get(quote.symbol);
  if (last && quote.n <= last.n) return;
  if (isLive) {
    read += 1;
    if (last?.isLive) replaced += quote.n - last.n - 1;
  }
  quote.isLive = isLive;
  quote.way = last && quote.price !== last.price ? (quote.price > last.price ? "up" : "down") : last?.way;
  newest.set(quote.symbol, quote);
  changed.add(quote.symbol);
}

/** Listens until the connection ends: first for what is new, then for what was before. */
async function listen() {
  const { url } = await askQuotes();
  const live = messages(url);
  try {
    let next = await live.next();
    $("state").textContent = "live";
    newest.clear();
    for (const quote of (await askQuotes()).quotes) take(quote, false);
    for (; !next.done; next = await live.next()) {
      take(JSON.parse(next.value), true);
      await mayRead();
    }
  } finally {
    live.return();
  }
}

async function askQuotes() {
  const answer = await fetch("/quotes");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

function rowOf(symbol) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = symbol;
  row.append(head, ...Array.from({ length: 4 }, () => document.createElement("td")));
  row.lastChild.className = "wide";
  rows.set(symbol, row);
  $("quotes").replaceChildren(...[...rows.keys()].sort().map((it) => rows.get(it)));
  return row;
}

/** Draws what has changed, however often that was, once a frame. */
function draw() {
  requestAnimationFrame(draw);
  for (const symbol of changed) {
    const { price, bids, asks, n, way } = newest.get(symbol);
    const [, ...cells] = (rows.get(symbol) ?? rowOf(symbol)).children;
    [price, bids[0][0], asks[0][0]].forEach((it, at) => (cells[at].textContent = it.toFixed(2)));
    cells[3].textContent = n;
    cells[0].className = way ?? "";
  }
  changed.clear();
  $("read").textContent = read.toLocaleString("en");
  $("replaced").textContent = replaced.toLocaleString("en");
}

let before = 0;
setInterval(() => {
  $("rate").textContent = (read - before).toLocaleString("en");
  before = read;
}, 1000);

draw();
for (;;) {
  try {
    await listen();
  } catch {
    // The next one may succeed.
  }
  $("state").textContent = "connecting…";
  await new Promise((resolve) => setTimeout(resolve, 1000 + Math.random() * 1000));
}
