// The dashboard: one event stream for all devices. What devices say is only ever put in as text.
const PACES_S = [1, 2, 5, 10, 60];
const NEWS_MAX = 50;
const AGAIN_MS = 2000;
const PREFIX = "device:#";
const $ = (id) => document.getElementById(id);
const rows = new Map(); // device -> its row

function element(name, parent, text = "") {
  const it = document.createElement(name);
  it.textContent = text;
  parent.append(it);
  return it;
}

/** The time of today, and of other days the day, too. */
function clock(seconds) {
  const at = new Date(seconds * 1000);
  const time = at.toLocaleTimeString([], { hour12: false });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}

/** Finds a device's row, or puts a new one where the alphabet has it. */
function rowOf(device) {
  if (rows.has(device)) return rows.get(device);
  const line = document.createElement("tr");
  element("th", line, device).scope = "row";
  const row = { line, value: element("td", line, "–"), state: element("td", line), since: 0, at: 0 };
  row.value.className = "value";
  row.measured = element("time", element("td", line));
  row.pace = element("select", element("td", line));
  row.pace.ariaLabel = `${device} measures every`;
  for (const it of PACES_S) element("option", row.pace, `every ${it} s`).value = it;
  row.pace.onchange = () => order(device, Number(row.pace.value));
  const next = [...rows.keys()].filter((it) => it > device).sort()[0];
  $("devices").insertBefore(line, rows.get(next)?.line ?? null);
  $("none").hidden = true;
  rows.set(device, row);
  return row;
}

function measured(device, { celsius, at, every }) {
  const row = rowOf(device);
  if (!Number.isFinite(celsius) || !Number.isFinite(at)) return;
  row.value.textContent = `${celsius.toFixed(1)} °C`;
  row.measured.textContent = clock(at);
  row.pace.value = every;
}

/** Shows whether a device is there; the answer of our server may be older than what the stream said. */
function stands(device, { online, since }) {
  const row = rowOf(device);
  if (since <= row.since) return;
  row.since = since;
  row.state.className = online ? "online" : "offline";
  row.state.textContent = online ? "online" : `offline since ${clock(since)}`;
}

function tell(text) {
  const line = document.createElement("li");
  element("time", line, clock(Date.now() / 1000));
  line.append(` ${text}`);
  $("log").prepend(line);
  if ($("log").childElementCount > NEWS_MAX) $("log").lastElementChild.remove();
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

async function order(device, every) {
  try {
    await ask("/orders", { device, every });
    tell(`${device} is to measure every ${every} s`);
  } catch (error) {
    tell(`${device} was not told: ${error.message}`);
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
  let stream = { close() {} };
  try {
    const { url, notices } = await ask("/session");
    const query = new URLSearchParams({ channel: notices, format: "json" });
    stream = new EventSource(`${url}?${query}`, { withCredentials: true }); // the cookie is our token
    stream.onmessage = ({ data: text }) => {
      const { channel, data } = JSON.parse(text);
      if (channel !== notices) return measured(channel.slice(PREFIX.length), data);
      stands(data.device, data);
      tell(`${data.device} is ${data.online ? "online" : "offline"}`);
    };
  } catch (error) {
    return again(stream, error);
  }
  // Also when the stream came back by itself. From here on it misses nothing; what it missed stands in the answer.
  stream.onopen = async () => {
    try {
      for (const [device, state] of Object.entries(await ask("/devices"))) stands(device, state);
      $("state").textContent = "connected";
    } catch (error) {
      again(stream, error);
    }
  };
  stream.addEventListener("taiwa:disconnect", ({ data }) => {
    const { reason, reconnect } = JSON.parse(data);
    if (!reconnect) end(stream, reason);
  });
  stream.onerror = () => {
    $("state").textContent = "not connected: coming back";
    if (stream.readyState === EventSource.CLOSED) again(stream, new Error("coming back"));
  };
}

$("show").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await ask("/login", { password: $("password").value });
    $("login").close();
    $("show").reset();
    $("refusal").textContent = "";
    begin();
  } catch (error) {
    $("refusal").textContent = error.status === 403 ? "that is not it" : error.message;
  }
};

begin();
