// A program behind taiwa's webhooks: who may come in, hear and say what. It needs nothing but Node.js.
//
//     WEBHOOK_SECRET='shared with taiwa, 24 bytes or more' node app.mjs 3000
//
// docs/webhooks.md explains what comes and what may be answered.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const BODY_MAX = 16 * 1024 * 1024;
const AGE_MAX = 5 * 60; // seconds
const TOKENS = new Map([["ada's token", "ada"], ["bob's token", "bob"]]); // yours come from a database

const secret = process.env.WEBHOOK_SECRET;
const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);

/** Tells whether a request comes from whoever has the secret, and just now. */
function isSigned(headers, body) {
  const { "webhook-id": id = "", "webhook-timestamp": sent = "", "webhook-signature": given = "" } = headers;
  if (!/^\d+$/.test(sent) || Math.abs(Date.now() / 1000 - Number(sent)) > AGE_MAX) return false;
  const digest = createHmac("sha256", key).update(`${id}.${sent}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  return given.split(" ").some((it) => {
    const one = Buffer.from(it);
    return one.length === expected.length && timingSafeEqual(one, expected);
  });
}

const decides = {
  connect({ token }) {
    const user = TOKENS.get(token);
    if (!user) return { error: { message: "who are you?", kind: "unauthorized" } };
    if (user === "bob") return { disconnect: { code: 4001, reason: "bob is banned" } };
    const info = { name: user[0].toUpperCase() + user.slice(1) };
    return { result: { user, info, channels: { [`news:${user}`]: {} }, expires_in: 3600 } };
  },
  refresh: ({ client }) => ({ result: { user: client.user ?? "", expires_in: 3600 } }),
  subscribe({ client, channel }) {
    if (channel.startsWith("secret:") && client.user !== "ada") {
      return { error: { message: "not for you", kind: "forbidden" } };
    }
    return { result: {} };
  },
  publish({ client, payload: { json } }) {
    if (json === undefined) return { result: {} }; // text and bytes, as they are
    if (json === null || typeof json !== "object" || Array.isArray(json)) {
      return { error: { code: 1000, message: "say it as an object" } };
    }
    return { result: { payload: { json: { ...json, by: client.user } } } };
  },
  call({ method, payload }) {
    if (method !== "add") return { error: { message: "no such method", kind: "not_found" } };
    return { result: { payload: { json: payload.json.reduce((sum, it) => sum + it, 0) } } };
  },
};

function answer(response, status, what) {
  const body = JSON.stringify(what);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const server = createServer(async (request, response) => {
  try {
    const parts = [];
    let length = 0;
    for await (const part of request) {
      length += part.length;
      if (length > BODY_MAX) return answer(response, 413, {});
      parts.push(part);
    }
    const body = Buffer.concat(parts);
    if (!isSigned(request.headers, body)) return answer(response, 401, {});
    const event = JSON.parse(body);
    const kind = event.type.split(".")[2];
    if (Object.hasOwn(decides, kind)) return answer(response, 200, decides[kind](event.data));
    console.log(kind, JSON.stringify(event.data));
    answer(response, 200, {});
  } catch (fault) {
    console.error(fault);
    if (!response.headersSent) answer(response, 500, {});
  }
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
