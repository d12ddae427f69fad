// The page at "/": a chat on /chat and a table of the live connections.
// What peers send is shown by textContent alone, never as markup.

const LINES_MAX = 500;
const HEX_HEAD = 32;
const BUFFERED_MAX = 1 << 20;
const WAIT_FIRST_MS = 500;
const WAIT_MAX_MS = 15_000;

const byId = (id) => document.getElementById(id);
const scheme = location.protocol === "https:" ? "wss" : "ws";
const urlOf = (path) => `${scheme}://${location.host}${path}`;

/** Keeps a socket to `path` open: after a close it comes back, each time later, by a random part. */
class Lasting {
  #path; #take; #show; #failures = 0; #timer = 0; #openedAt = 0;
  socket = null;

  constructor(path, take, show) {
    this.#path = path;
    this.#take = take;
    this.#show = show;
    addEventListener("online", () => this.#timer && this.#open());
    this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#show("connecting", "connecting");
    const socket = new WebSocket(urlOf(this.#path));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#openedAt = performance.now();
      this.#show("open", "connected");
    };
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = (event) => this.#again(event);
    this.socket = socket;
  }

  #again(event) {
    // A server that accepts and closes at once must not be asked again without a pause.
    const lasted = this.#openedAt && performance.now() - this.#openedAt > 5_000;
    this.#openedAt = 0;
    this.#failures = lasted ? 1 : this.#failures + 1;
    const ceiling = Math.min(WAIT_MAX_MS, WAIT_FIRST_MS * 2 ** (this.#failures - 1));
    const wait = ceiling / 2 + Math.random() * (ceiling / 2);
    const why = event.reason ? `${event.code} ${event.reason}` : `${event.code}`;
    this.#show("closed", `closed (${why}), again in ${(wait / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }
}

const log = byId("log");
let forgotten = 0;

// Whoever looks at the end stays there, also when the list changes its size.
let atEnd = true;
const stay = () => { if (atEnd) log.scrollTop = log.scrollHeight; };
log.addEventListener("scroll", () => {
  atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
});
new ResizeObserver(stay).observe(log);

function say(text, kind) {
  const line = document.createElement("li");
  line.className = kind;
  const words = document.createElement("span");
  words.textContent = text;
  const now = new Date();
  const time = document.createElement("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  line.append(words, time);
  log.append(line);
  while (log.children.length > LINES_MAX) {
    log.firstChild.remove();
    forgotten += 1;
  }
  byId("forgotten").hidden = forgotten === 0;
  byId("forgotten").textContent = `${forgotten} older messages are no longer shown.`;
  atEnd ||= kind === "mine";
  stay();
}

function describe(buffer) {
  const head = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, HEX_HEAD));
  const hex = Array.from(head, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const size = buffer.byteLength === 1 ? "1 byte" : `${buffer.byteLength} bytes`;
  return `binary, ${size}${hex && ": "}${hex}${buffer.byteLength > HEX_HEAD ? " …" : ""}`;
}

const chat = new Lasting(
  "/chat",
  (data) => typeof data === "string" ? say(data, "theirs") : say(describe(data), "theirs binary"),
  (state, text) => {
    byId("state").dataset.state = state;
    byId("state").textContent = text;
    byId("send").disabled = state !== "open";
  },
);

// Storage may be forbidden (a private window, say); then the name lasts as long as the page.
const stored = {
  read() { try { return localStorage.getItem("taiwa.name") ?? ""; } catch { return ""; } },
  write(name) { try { localStorage.setItem("taiwa.name", name); } catch { /* the field keeps it */ } },
};
const name = byId("name");
name.value = stored.read();
name.addEventListener("change", () => stored.write(name.value.trim()));

const words = byId("say");
const fit = () => {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight + 2}px`;
};
words.addEventListener("input", fit);
words.addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses its suggestion.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("form").requestSubmit();
});

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (words.value === "" || !chat.isOpen) return;
  if (chat.socket.bufferedAmount > BUFFERED_MAX) {
    say("Not sent: the connection is too slow for more just now.", "note");
    return;
  }
  const who = name.value.trim();
  const text = who ? `${who}: ${words.value}` : words.value;
  chat.socket.send(text);
  say(text, "mine");
  words.value = "";
  fit();
  words.focus();
});

const body = byId("connections").tBodies[0];
const rows = new Map();

function ago(since) {
  const seconds = Math.max(0, Math.round((Date.now() - since) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function newRow(connection) {
  const row = document.createElement("tr");
  for (const text of [connection.who, connection.path, connection.http, "", "", ""]) row.insertCell().textContent = text;
  row.cells[1].title = connection.path;
  for (const at of [2, 3, 4, 5]) row.cells[at].className = "n";
  return row;
}

function showConnections(text) {
  const { total, rows: live } = JSON.parse(text);
  const seen = new Set();
  live.forEach((connection, at) => {
    seen.add(connection.id);
    let row = rows.get(connection.id);
    if (!row) rows.set(connection.id, row = newRow(connection));
    row.since = connection.since;
    row.cells[3].textContent = ago(connection.since);
    row.cells[4].textContent = connection.in;
    row.cells[5].textContent = connection.out;
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
  });
  for (const [id, row] of rows) {
    if (!seen.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  byId("total").textContent = total === 1 ? "1 connection" : `${total} connections`;
  byId("live-note").textContent = live.length < total
    ? `The newest ${live.length} of ${total} are shown.`
    : total === 0 ? "Nobody yet." : "Newest first. In and Out count messages, as the server sees them.";
}

setInterval(() => {
  for (const row of rows.values()) row.cells[3].textContent = ago(row.since);
}, 1000);

new Lasting("/.taiwa/connections", showConnections, (state, text) => {
  byId("connections").classList.toggle("stale", state !== "open");
  if (state !== "open") byId("total").textContent = text;
});

byId("from-terminal").textContent = `taiwa connect ${urlOf("/chat")}`;
byId("from-browser").textContent = [
  `const socket = new WebSocket(${JSON.stringify(urlOf("/chat"))});`,
  "socket.onmessage = (event) => console.log(event.data);",
  'socket.onopen = () => socket.send("hello");',
].join("\n");
for (const button of document.querySelectorAll(".copy")) {
  // The clipboard is there on localhost and over https alone.
  button.hidden = !navigator.clipboard;
  button.setAttribute("aria-label", "Copy the code");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.of).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
