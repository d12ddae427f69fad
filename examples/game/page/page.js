// The game's page: sends where to go 20 times a second, and shows what the ticks say, two ticks behind, so that it always
// knows the next place too and can draw everything between. server.rs and world.rs say what the bytes are.
const TICK_MS = 50;
const BEHIND = 2; // ticks
const FIELD = { width: 1000, height: 600 };
const $ = (id) => document.getElementById(id);

let name = "";
let names = {}; // number of a player -> its name
// By this a tab takes its player up again when it comes back.
const secret = (sessionStorage.secret ??= crypto.getRandomValues(new Uint32Array(4)).join("-"));

/** Changes what is shown, if it is not shown yet: screen readers read each change. */
function show(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function connect() {
  const url = new URL(`/?channel=${encodeURIComponent(`input:#${name}`)}&channel=arena`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, ["plain", `bearer.${name}.${secret}`]);
  socket.binaryType = "arraybuffer";
  let sending;
  socket.onopen = () => {
    forget();
    sending = setInterval(() => send(socket), TICK_MS);
  };
  socket.onmessage = ({ data }) => {
    $("begin").hidden = true;
    show("state", `${name}, playing`);
    if (typeof data === "string") names = JSON.parse(data);
    else take(readTick(new DataView(data)));
  };
  socket.onclose = ({ code, reason }) => {
    clearInterval(sending);
    const isRefused = code >= 4400 && code < 4500 && code !== 4408 && code !== 4429;
    show("state", isRefused ? reason : "connecting…");
    $("begin").hidden = !isRefused;
    if (!isRefused) setTimeout(connect, 500 + Math.random() * 1000);
  };
}

// What goes out.

const held = new Set();
const ways = { ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0], ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1] };
let pressed = null; // where a finger or the mouse is, in the field
const sent = new Map(); // number of an input -> when it went
let input = 0;

function send(socket) {
  if (socket.bufferedAmount > 0) return; // an input that has to wait is not worth sending
  let [x, y] = [0, 0];
  for (const key of held) [x, y] = [x + ways[key][0], y + ways[key][1]];
  const own = pressed && places(ticks.at(-1)?.tick)?.get(name);
  if (own) [x, y] = [(pressed.x - own.x) / 30, (pressed.y - own.y) / 30];
  const length = Math.max(1, Math.hypot(x, y));
  const bytes = new DataView(new ArrayBuffer(6));
  bytes.setUint32(0, ++input, true);
  bytes.setInt8(4, Math.round((127 * x) / length));
  bytes.setInt8(5, Math.round((127 * y) / length));
  sent.set(input, performance.now());
  socket.send(bytes);
}

$("field").addEventListener("keydown", (event) => {
  if (!ways[event.code] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  held.add(event.code);
});
addEventListener("keyup", ({ code }) => held.delete(code));
addEventListener("blur", () => held.clear());
for (const kind of ["pointerdown", "pointermove"]) {
  $("field").addEventListener(kind, (event) => {
    if (!event.buttons) return;
    const box = $("field").getBoundingClientRect();
    pressed = { x: ((event.clientX - box.left) / box.width) * FIELD.width, y: ((event.clientY - box.top) / box.height) * FIELD.height };
  });
}
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => (pressed = null));

// What comes in.

let ticks = []; // the newest, oldest first
let begin = Infinity; // when tick 0 would have come, had it had the fastest way
let arrivals = []; // of the last two seconds
let lag, jitter, missed = 0;

function forget() {
  [ticks, begin, arrivals, lag, jitter] = [[], Infinity, [], undefined, 0];
  sent.clear();
}

function readTick(bytes) {
  const tick = { tick: bytes.getUint32(0, true), coin: [bytes.getUint16(4, true), bytes.getUint16(6, true)], players: new Map() };
  for (let at = 8; at < bytes.byteLength; at += 14) {
    const [number, x, y, points] = [0, 2, 4, 6].map((it) => bytes.getUint16(at + it, true));
    tick.players.set(number, { x, y, points, input: bytes.getUint32(at + 8, true), waited: bytes.getUint16(at + 12, true) / 10 });
  }
  return tick;
}

function take(tick) {
  const now = performance.now();
  if (ticks.length) missed += tick.tick - ticks.at(-1).tick - 1;
  // The clocks of two machines drift apart: this much is forgiven.
  begin = Math.min(begin + 0.02, now - tick.tick * TICK_MS);
  ticks = [...ticks.slice(-9), tick];
  arrivals = [...arrivals.slice(-40), now];
  for (const [number, it] of tick.players) if (names[number] === name) measure(it, now);
  show("rate", (((arrivals.length - 1) * 1000) / (now - arrivals[0] || 1)).toFixed(1));
  show("missed", String(missed));
  showPlayers(tick);
}

/** From an input to the tick that knows it, without the time that it waited for that tick; smoothed as in RFC 6298 and RFC 3550. */
function measure({ input, waited }, now) {
  if (!sent.has(input)) return;
  const seen = Math.max(0, now - sent.get(input) - waited);
  for (const number of sent.keys()) if (number <= input) sent.delete(number);
  jitter += (Math.abs(seen - (lag ?? seen)) - jitter) / 16;
  lag = lag === undefined ? seen : lag + (seen - lag) / 8;
  show("lag", `${lag.toFixed(1)} ms`);
  show("jitter", `${jitter.toFixed(1)} ms`);
}

const points = {};

function showPlayers({ players }) {
  const known = [...players].filter(([number]) => names[number]);
  const lines = known.map(([number, it]) => `${names[number]}: ${it.points}`);
  for (const [number, it] of known) {
    const who = names[number];
    if (it.points > (points[who] ?? it.points)) show("news", `${who} has ${it.points}`);
    points[who] = it.points;
  }
  if ($("players").textContent === lines.join("")) return;
  $("players").replaceChildren(...lines.map((it) => Object.assign(document.createElement("li"), { textContent: it })));
}

/** Where all players are at a time in ticks, by their names; undefined where nothing is known. */
function places(time) {
  const after = ticks.find((it) => it.tick >= time) ?? ticks.at(-1);
  if (!after) return undefined;
  const before = ticks.findLast((it) => it.tick <= time) ?? after;
  const part = after === before ? 0 : (time - before.tick) / (after.tick - before.tick);
  return new Map([...after.players].filter(([number]) => names[number]).map(([number, to]) => {
    const from = before.players.get(number) ?? to;
    return [names[number], { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part }];
  }));
}

const dots = new Map(); // name of a player -> what shows it

function put(dot, x, y) {
  dot.style.left = `${(100 * x) / FIELD.width}%`;
  dot.style.top = `${(100 * y) / FIELD.height}%`;
}

function draw() {
  requestAnimationFrame(draw);
  const now = places((performance.now() - begin) / TICK_MS - BEHIND) ?? new Map();
  for (const [who, { x, y }] of now) {
    if (!dots.has(who)) {
      const dot = document.createElement("span");
      dot.className = who === name ? "player own" : "player";
      dot.dataset.name = who;
      dots.set(who, dot);
      $("field").append(dot);
    }
    put(dots.get(who), x, y);
  }
  for (const [who, dot] of dots) if (!now.has(who)) (dot.remove(), dots.delete(who));
  $("coin").hidden = ticks.length === 0;
  if (ticks.length) put($("coin"), ...ticks.at(-1).coin);
}

$("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  name = $("name").value;
  connect();
  $("field").focus();
});
draw();
