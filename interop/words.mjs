// What checks say in Node and in pages alike: waiting with a limit, comparing, one line a check. Imports nothing.

export const STEP_MS = 10_000;

/** Rejects when `promise` has not settled after `ms`. */
export function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Resolves to what `probe` gives once that is true; what it gave last stands in the complaint. */
export async function until(what, probe, ms = STEP_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const seen = await probe();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`${what}: not after ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Resolves once `probe` gives what is due; complains with what it gave last. */
export async function becomes(probe, due, what = 'seen', ms = STEP_MS) {
  let seen;
  const isDue = async () => canonical((seen = await probe())) === canonical(due);
  await until(what, isDue, ms).catch((late) => {
    same(seen, due, what);
    throw late;
  });
}

/** The same text for what is the same, whatever the order of keys. */
function canonical(value) {
  return JSON.stringify(value, (_, it) => {
    if (it instanceof Uint8Array) return { bytes: Array.from(it) };
    if (it === undefined) return '(undefined)';
    if (it === null || typeof it !== 'object' || Array.isArray(it)) return it;
    return Object.fromEntries(Object.entries(it).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export function same(seen, due, what = 'seen') {
  const [a, b] = [canonical(seen), canonical(due)];
  if (a !== b) throw new Error(`${what}: ${a?.slice(0, 300)} where ${b?.slice(0, 300)} was due`);
}

export function holds(condition, why) {
  if (!condition) throw new Error(why);
}

/** Resolves to the reason with which `promise` rejects. */
export async function fails(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it succeeded');
}

/** Runs checks by their names, one after another, and prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`. */
export async function runAll(checks, print = console.log, checkMs = 30_000) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      const why = await within(check(), checkMs, name);
      print(why ? `skip ${name}: ${why}` : `ok ${name}`);
    } catch (error) {
      print(`FAIL ${name}: ${String(error?.message ?? JSON.stringify(error)).replaceAll('\n', ' | ')}`);
    }
  }
}
