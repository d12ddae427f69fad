// The page remembers where it stands in its stream, together with what it has seen: so a page that is opened again after a day goes on
// right behind that. What others say is only ever put in as text.
const KEPT_MAX = 1000;
const SAVE_MS = 50;
const AGAIN_MS = 2000;
const $ = (id) => document.getElementById(id);
const lines = new Map(); // id -> its line
let user, saving;
let kept; // { position, isWhole, items: { id: notification } }

function remember() {
  kept = JSON.parse(localStorage.getItem(`notifications:${user}`)) ?? { position: null, isWhole: false, items: {} };
}

/** Saves position and notifications together: however the page ends, they fit each other. */
function save() {
  clearTimeout(saving);
  saving = undefined;
  if (user) localStorage.setItem(`notifications:${user}`, JSON.stringify(kept));
}

function saveSoon() {
  saving ??= setTimeout(save, SAVE_MS);
}

/** Puts a notification where its number has it, or changes it. What was read stays read. */
function put({ id, from, text, at, isRead = false }) {
  isRead ||= Boolean(kept.items[id]?.isRead);
  kept.items[id] = { id, from, text, at, isRead };
  if (!lines.has(id)) {
    const line = document.createElement("li");
    const time = new Date(at).toLocaleString([], { hour12: false });
    for (const [name, textContent] of [["span", `${from}: ${text}`], ["time", time], ["button", "Read"]]) {
      line.append(Object.assign(document.createElement(name), { textContent }));
    }
    line.value = id;
    line.lastChild.ariaLabel = `Mark as read: ${from}: ${text}`;
    line.lastChild.onclick = async () => {
      await mark([id]);
      // The button has gone: who uses the keyboard goes on with the next one.
      (line.nextElementSibling?.querySelector("button:not([hidden])") ?? $("all")).focus();
    };
    $("list").insertBefore(line, [...$("list").children].find((it) => it.value < id) ?? null);
    lines.set(id, line);
  }
  lines.get(id).classList.toggle("new", !isRead);
  lines.get(id).lastChild.hidden = isRead;
  while (lines.size > KEPT_MAX) {
    const oldest = $("list").lastElementChild;
    oldest.remove();
    lines.delete(oldest.value);
    delete kept.items[oldest.value];
  }
  count();
}

const unread = () => Object.values(kept.items).filter((it) => !it.isRead).map((it) => it.id);

function count() {
  const { length } = unread();
  $("unread").textContent = length ? `${length} new` : "";
  $("all").disabled = !length;
  document.title = length ? `(${length}) Notifications` : "Notifications";
}

/** Asks our own server; a 401 is a visitor who has to come in first. */
async function ask(path, what = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(what),
    signal: AbortSignal.timeout(5000),
  });
  if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
  return answer.status === 204 ? null : answer.json();
}

/** Reads the whole list of our server: at the first visit, and whenever something was missed. */
async function readList(stream) {
  kept.isWhole = false;
  try {
    for (const it of await ask("/list")) put(it);
    kept.isWhole = true;
    saveSoon();
  } catch (error) {
    again(stream, error);
  }
}

function marked(ids) {
  for (const id of ids) if (kept.items[id]) put({ ...kept.items[id], isRead: true });
  saveSoon();
}

async function mark(ids) {
  try {
    await ask("/read", { ids });
    marked(ids);
    $("trouble").textContent = "";
  } catch (error) {
    $("trouble").textContent = `not marked: ${error.message}`;
  }
}

function end(stream, why) {
  stream.close();
  stream.isOver = true;
  $("state").textContent = `not connected: ${why}`;
}

/** Begins anew, once for each stream. */
function again(stream, error) {
  if (stream.isOver) return;
  end(stream, error.message);
  if (error.status === 401) return $("login").open || $("login").showModal();
  setTimeout(begin, AGAIN_MS * (1 + Math.random()));
}

async function begin() {
  let session;
  try {
    session = await ask("/session");
  } catch (error) {
    return again({ close() {} }, error);
  }
  if (session.user !== user) {
    user = session.user;
    $("list").replaceChildren();
    lines.clear();
    remember();
    for (const it of Object.values(kept.items)) put(it);
  }
  // A new EventSource knows no last event: the URL says it. When it comes back by itself, its header counts.
  const since = kept.position ? `?lastEventId=${encodeURIComponent(kept.position)}` : "";
  listen(new EventSource(session.stream + since, { withCredentials: true })); // the cookie is our token
}

function listen(stream) {
  stream.onopen = () => {
    $("state").textContent = `${user}, connected`;
    if (!kept.isWhole) readList(stream);
  };
  stream.onmessage = ({ data, lastEventId }) => {
    stand(lastEventId);
    const said = JSON.parse(data);
    if (said.marked) return marked(said.marked);
    const top = $("list").firstElementChild?.value ?? 0;
    put(said);
    $("coming").textContent = `${said.from}: ${said.text}`;
    // The numbers have no holes, unless there was something that our server could not say.
    if (said.id > top + 1 && kept.isWhole) readList(stream);
  };
  stream.addEventListener("taiwa:here", ({ lastEventId }) => stand(lastEventId));
  stream.addEventListener("taiwa:gap", () => {
    $("gap").textContent = "You missed more than the stream remembers: this is the list as it is now.";
    readList(stream);
  });
  stream.addEventListener("taiwa:disconnect", ({ data }) => {
    const { reason, reconnect } = JSON.parse(data);
    if (!reconnect) end(stream, reason);
  });
  stream.onerror = () => {
    $("state").textContent = "not connected: coming back";
    if (stream.readyState === EventSource.CLOSED) again(stream, new Error("coming back"));
  };
}

function stand(position) {
  kept.position = position;
  saveSoon();
}

$("all").onclick = () => mark(unread());

$("tell").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await ask("/notify", { user: $("to").value, text: $("text").value });
    $("text").value = $("trouble").textContent = "";
  } catch (error) {
    $("trouble").textContent = error.status === 422 ? "there is no such user" : `not sent: ${error.message}`;
  }
};

$("name").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await ask("/login", { name: $("user").value });
    $("login").close();
    $("refusal").textContent = "";
    begin();
  } catch (error) {
    $("refusal").textContent = error.status === 422 ? "letters, digits, - and _" : error.message;
  }
};

addEventListener("pagehide", save);
begin();
