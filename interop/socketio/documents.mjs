// The whole example in docs/coming-from-socketio.md, as it stands there: its configuration, its page and its program.
//
//   node socketio/documents.mjs TAIWA PYTHON
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { io } from 'socket.io-client';

import { Site } from '../site.mjs';
import { holds, runAll, same, until } from '../words.mjs';

const [taiwa, interpreter] = process.argv.slice(2);
const text = readFileSync(new URL('../../docs/coming-from-socketio.md', import.meta.url), 'utf8');
const example = text.slice(text.indexOf('## A whole example'), text.indexOf('## Settings'));
const block = (language) => {
  const found = example.split(`\`\`\`${language}\n`);
  same(found.length, 2, `blocks of ${language}`);
  return found[1].split('```')[0];
};
const replaced = (text, from, to) => {
  holds(text.includes(from), `the example has no ${from}`);
  return text.replaceAll(from, to);
};

let program;
let site;
const port = 20_000 + Math.floor(Math.random() * 10_000);
process.on('exit', () => program?.kill('SIGKILL'));

/** Runs the page's script; it returns what it showed, and its socket. */
async function open(user) {
  const shown = [];
  const script = replaced(replaced(block('js'), 'http://127.0.0.1:8000', site.http), '"ada"', `"${user}"`);
  const run = new Function('io', 'show', `return (async () => { ${script}\nreturn socket; })()`);
  return { shown, socket: await run((url, options) => io(url, { ...options, forceNew: true }), (it) => shown.push(it)) };
}

await runAll({
  async 'starts'() {
    site = await Site.start(taiwa, replaced(block('toml'), ':8001/', `:${port}/`));
    let code = replaced(block('python'), 'http://127.0.0.1:8000', site.http);
    code = replaced(code, '("127.0.0.1", 8001)', `("127.0.0.1", ${port})`);
    program = spawn(interpreter, ['-c', code], { stdio: 'inherit' });
    const isThere = () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
    await until('the program', isThere);
  },
  async 'chat'() {
    const ada = await open('ada');
    await until('her own words', () => ada.shown.length === 2);
    same(ada.shown, ['with ada', 'ada: hello']);
    const bob = await open('bob');
    await until('all is shown', () => ada.shown.length === 4 && bob.shown.length === 2);
    same([ada.shown.slice(2), bob.shown], [['bob comes in', 'bob: hello'], ['with ada, bob', 'bob: hello']]);
    for (const it of [ada, bob]) it.socket.disconnect();
  },
  async 'ends-well'() {
    program.kill();
    await site.finish();
  },
});
process.exit(0);
