// The server part of the notifications: serves the page, keeps the list, and says what is new.
//
//     node server.mjs [PORT]
//
// It needs nothing but Node.js. In the environment are TAIWA_AUTH__JWT__SECRETS, by which it signs tokens, and TAIWA_API__KEYS, by which
// it speaks to taiwa; TAIWA_URL if taiwa is not at http://127.0.0.1:8000, and LIST_FILE if list.jsonl is not the place for the list.
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";

const KEPT_MAX = 1000; // notifications of a user
const TEXT_MAX = 500;
const BODY_MAX = 64 * 1024;
const COOKIE_S = 30 * 24 * 60 * 60;
const WAITING_MAX = 10_000; // what waits for taiwa
const TRIES_MAX = 60; // a second apart
const { TAIWA_URL: TAIWA = "http://127.0.0.1:8000", LIST_FILE: FILE = "list.jsonl" } = process.env;
const { TAIWA_AUTH__JWT__SECRETS: SECRET, TAIWA_API__KEYS: KEY } = process.env;
if (!SECRET || !KEY) throw new Error("TAIWA_AUTH__JWT__SECRETS and TAIWA_API__KEYS are to be set");
const POLICY = `default-src 'self'; connect-src 'self' ${TAIWA}; img-src data:`;
const FILES = { "/": ["index.html", "text/html"], "/page.css": ["page.css", "text/css"], "/page.js": ["page.js", "text/javascript"] };

const sign = (text) => createHmac("sha256", SECRET).update(text).digest("base64url");

/** Makes a JSON Web Token (HS256): the page's cookie, which taiwa takes, too. */
function makeToken(user) {
  const claims = { sub: user, aud: "notifications", exp: Math.floor(Date.now() / 1000) + COOKIE_S };
  const text = [{ alg: "HS256" }, claims].map((it) => Buffer.from(JSON.stringify(it)).toString("base64url")).join(".");
  return `${text}.${sign(text)}`;
}

/** Returns whose the cookie is that makeToken has made; undefined if there is no good one. */
function userOf({ cookie = "" }) {
  const token = cookie.split("; ").find((it) => it.startsWith("notifications="))?.slice("notifications=".length) ?? "";
  const [head, part = "", signature = ""] = token.split(".");
  const [due, given] = [sign(`${head}.${part}`), signature].map((it) => Buffer.from(it));
  if (due.length !== given.length || !timingSafeEqual(due, given)) return undefined;
  const { sub, exp } = JSON.parse(Buffer.from(part, "base64url"));
  return exp > Date.now() / 1000 ? sub : undefined;
}

const cookieOf = (user) => `notifications=${makeToken(user)}; Path=/; Max-Age=${COOKIE_S}; HttpOnly; SameSite=Strict`;

// The list: yours is in a database. Here each line of a file says what happened, and the file is written anew at the start.
const lists = new Map(); // user -> notifications, the oldest first; their numbers have no holes

function happened({ user, marked, ...notification }) {
  const list = lists.get(user) ?? [];
  for (const it of list) if (marked?.includes(it.id)) it.isRead = true;
  if (!marked) list.push(notification);
  lists.set(user, list.slice(-KEPT_MAX));
}

if (existsSync(FILE)) readFileSync(FILE, "utf8").split("\n").filter(Boolean).forEach((it) => happened(JSON.parse(it)));
const kept = [...lists].flatMap(([user, list]) => list.map((it) => `${JSON.stringify({ user, ...it })}\n`));
writeFileSync(FILE, kept.join(""));

function keep(event) {
  appendFileSync(FILE, `${JSON.stringify(event)}\n`);
  happened(event);
}

let said = Promise.resolve();
let waiting = 0;

/** Publishes in the user's channel, one behind the other. What taiwa never takes, a page finds missing by the numbers. */
function say(user, data, id) {
  if (waiting >= WAITING_MAX) return;
  waiting += 1;
  said = said.then(async () => {
    for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
      try {
        const response = await fetch(`${TAIWA}/api/v1/publish`, {
          method: "POST",
          headers: { "x-api-key": KEY, "content-type": "application/json" },
          body: JSON.stringify({ channel: `notify:#${user}`, data, id }), // said again with its `id`, it is not said twice
          signal: AbortSignal.timeout(5000),
        });
        if (response.ok) break;
        console.log(`taiwa: status ${response.status} ${await response.text()}`);
      } catch (error) {
        console.log(`taiwa: ${error.message}`);
      }
      await setTimeout(1000);
    }
    waiting -= 1;
  });
}

/** Tells a user something: first into the list, then to whoever looks. */
function notify(user, from, text) {
  const notification = { id: (lists.get(user)?.at(-1)?.id ?? 0) + 1, from, text, at: Date.now() };
  keep({ user, ...notification });
  say(user, notification, `${user}-${notification.id}`);
}

const isName = (it) => typeof it === "string" && /^[\w-]{1,24}$/.test(it);

function answer(path, user, what) {
  if (path === "/login") {
    // Yours asks for a password here.
    return isName(what.name) ? [204, undefined, { "set-cookie": cookieOf(what.name) }] : [422];
  }
  if (!user) return [401];
  if (path === "/session") {
    const stream = `${TAIWA}/sse/${encodeURIComponent(`notify:#${user}`)}`;
    return [200, { user, stream }, { "set-cookie": cookieOf(user) }];
  }
  if (path === "/list") return [200, lists.get(user) ?? []];
  if (path === "/read" && Array.isArray(what.ids)) {
    const marked = what.ids.slice(0, KEPT_MAX).filter(Number.isSafeInteger);
    keep({ user, marked });
    say(user, { marked });
    return [204];
  }
  if (path !== "/notify" || !isName(what.user) || typeof what.text !== "string") return [422];
  const text = what.text.trim();
  if (!text || text.length > TEXT_MAX) return [422];
  notify(what.user, user, text);
  return [204];
}

async function respond(request) {
  if (request.method === "GET" && Object.hasOwn(FILES, request.url)) {
    const [name, type] = FILES[request.url];
    return [200, readFileSync(new URL(`page/${name}`, import.meta.url)), { "content-type": `${type}; charset=utf-8` }];
  }
  // Another site's page can't send JSON here without asking first, which nobody answers.
  if (request.method !== "POST" || request.headers["content-type"] !== "application/json") return [404];
  let body = "";
  for await (const part of request.setEncoding("utf8")) {
    body += part;
    if (body.length > BODY_MAX) return [413, undefined, { connection: "close" }];
  }
  return answer(request.url, userOf(request.headers), Object(JSON.parse(body)));
}

const server = createServer(async (request, response) => {
  const [status, what = "", headers] = await respond(request).catch((error) => [error instanceof SyntaxError ? 400 : 500]);
  const always = { "cache-control": "no-store", "content-security-policy": POLICY, "x-content-type-options": "nosniff" };
  response.writeHead(status, { "content-type": "application/json", ...always, ...headers });
  response.end(typeof what === "string" || Buffer.isBuffer(what) ? what : JSON.stringify(what));
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
