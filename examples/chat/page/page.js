// The chat's page: one connection, one room at a time. What others say is only ever put in as text.
import { Centrifuge, UnauthorizedError } from "./centrifuge.mjs";

const PAGE = 100; // messages of the history that are shown
const $ = (id) => document.getElementById(id);
let client, room, user;

/** Asks our own server who we are; null if it does not know. */
async function askSession() {
  const answer = await fetch("/session");
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

async function begin() {
  const session = await askSession();
  if (!session) return $("login").showModal();
  user = session.user;
  client = new Centrifuge(session.url, {
    token: session.token,
    async getToken() {
      const fresh = await askSession();
      if (!fresh) throw new UnauthorizedError();
      return fresh.token;
    },
  });
  client.on("connected", () => ($("state").textContent = `${user}, connected`));
  client.on("connecting", () => ($("state").textContent = `${user}, connecting…`));
  client.on("disconnected", ({ reason }) => ($("state").textContent = `gone: ${reason}`));
  $("rooms").replaceChildren(...session.rooms.map((name) => {
    const link = document.createElement("a");
    link.href = `#${name}`;
    link.textContent = name;
    return link;
  }));
  addEventListener("hashchange", enter);
  enter();
  client.connect();
  $("text").focus();
}

/** Goes to the room that the address names. */
function enter() {
  const name = decodeURIComponent(location.hash.slice(1)) || "lobby";
  for (const link of $("rooms").children) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (room) {
    room.removeAllListeners();
    room.unsubscribe();
    client.removeSubscription(room);
  }
  forget();
  $("members").replaceChildren();
  const entered = client.newSubscription(`room:${name}`, { recoverable: true, joinLeave: true });
  room = entered;
  room.on("publication", show);
  room.on("subscribed", ({ wasRecovering, recovered }) => {
    // What was said meanwhile comes by itself, unless it was more than the room remembers.
    if (!wasRecovering) readHistory(entered);
    else if (!recovered) readHistory(entered, "something is missing here");
    readMembers(entered);
  });
  room.on("unsubscribed", ({ reason }) => ($("trouble").textContent = reason));
  for (const [event, word] of [["join", "has come"], ["leave", "has gone"]]) {
    room.on(event, ({ info }) => {
      if (info.user !== user) $("coming").textContent = `${info.user} ${word}`;
      readMembers(entered);
    });
  }
  room.subscribe();
}

const shown = new Map(); // offset -> its line

function forget() {
  shown.clear();
  $("log").replaceChildren();
}

/** Shows the last messages. Those that arrive meanwhile find their place by their offset. */
async function readHistory(of, note) {
  if (note) {
    shown.clear();
    const gap = document.createElement("li");
    gap.className = "gap";
    gap.textContent = note;
    $("log").append(gap);
  }
  const { publications } = await of.history({ limit: PAGE, reverse: true });
  if (of === room) for (const it of publications.reverse()) show(it);
}

let isAtEnd = true;
$("log").addEventListener("scroll", ({ target: it }) => (isAtEnd = it.scrollHeight - it.scrollTop - it.clientHeight < 40));
new ResizeObserver(stayAtEnd).observe($("log"));

function stayAtEnd() {
  if (isAtEnd) $("log").scrollTop = $("log").scrollHeight;
}

/** Shows a message at its place, once. */
function show({ data, info, offset }) {
  if (shown.has(offset)) return;
  const line = document.createElement("li");
  const [who, when] = [document.createElement("b"), document.createElement("time")];
  who.textContent = info?.user ?? "the house";
  const at = new Date(data.at);
  when.dateTime = at.toISOString();
  when.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  line.append(who, " ", data.text, " ", when);
  const later = [...shown.keys()].filter((it) => it > offset);
  $("log").insertBefore(line, later.length ? shown.get(Math.min(...later)) : null);
  shown.set(offset, line);
  stayAtEnd();
}

let reading = Promise.resolve();

/** Shows who is in the room: each user once, however many tabs there are. */
function readMembers(of) {
  reading = reading.then(async () => {
    const { clients } = await of.presence();
    if (of !== room) return;
    const users = [...new Set(Object.values(clients).map((it) => it.user))].sort();
    $("members").replaceChildren(...users.map((name) => {
      const line = document.createElement("li");
      const who = document.createElement(name === user ? "b" : "span");
      who.textContent = name;
      line.append(who);
      return line;
    }));
  }).catch(() => {}); // the next one reads it again
}

$("login").addEventListener("cancel", (event) => event.preventDefault());

$("speak").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  $("text").value = "";
  $("trouble").textContent = "";
  try {
    await room.publish({ text });
  } catch ({ message }) {
    $("trouble").textContent = `not sent: ${message}`;
    $("text").value ||= text;
  }
});

$("name").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/login", { method: "POST", headers, body: JSON.stringify({ name: $("user").value }) });
  if (!answer.ok) return void ($("refusal").textContent = "letters, digits, _ and - please");
  $("login").close();
  await begin();
});

begin().catch(({ message }) => ($("state").textContent = `no answer from the chat: ${message}`));
