// Ada and bob in two Chromiums: they talk, see each other, and miss nothing when the connection is cut.
//
//   node examples/chat/test.mjs TAIWA [PYTHON]
//
// prints `ok NAME` or `FAIL NAME: why`, one line a check. `cargo xtask interop examples/chat` runs it.
import { Example } from '../../interop/examples.mjs';
import { becomes, runAll, same, until } from '../../interop/words.mjs';

const [taiwa, python = 'python3'] = process.argv.slice(2);
const chat = await Example.start('chat', {
  taiwa,
  command: [python, 'server.py', '0'],
  secrets: ['TAIWA_AUTH__JWT__SECRETS', 'TAIWA_WEBHOOKS__SECRETS', 'TAIWA_API__KEYS'],
  settings: (url) => ['subscribe', 'publish'].flatMap((it) => ['--set', `webhooks.url.${it}=${url}taiwa`]),
});

/** What stands in the log, without the times. */
const log = async (page) =>
  (await page.locator('#log li').allInnerTexts()).map((it) => it.replace(/ \d\d:\d\d( [AP]M)?$/, ''));
const members = (page) => page.locator('#members li').allInnerTexts();
const shows = (page, selector, text) =>
  until(`"${text}" in ${selector}`, async () => (await page.innerText(selector)).includes(text));
async function comeIn(page, name) {
  await page.fill('#user', name);
  await page.click('#name button');
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

let ada;
let bob;
const due = [];
await runAll({
  async 'come-in'() {
    [ada, bob] = await Promise.all([chat.open(), chat.open()]);
    await comeIn(ada, 'ada <script>');
    await shows(ada, '#refusal', 'letters');
    await Promise.all([comeIn(ada, 'ada'), comeIn(bob, 'bob')]);
    for (const [page, name] of [[ada, 'ada'], [bob, 'bob']]) await shows(page, '#state', `${name}, connected`);
  },
  async presence() {
    for (const page of [ada, bob]) await becomes(() => members(page), ['ada', 'bob']);
  },
  async talk() {
    await say(ada, 'こんにちは');
    await shows(bob, '#log', 'こんにちは');
    await say(bob, '<b>hello</b> & goodbye');
    due.push('ada こんにちは', 'bob <b>hello</b> & goodbye');
    for (const page of [ada, bob]) await becomes(() => log(page), due);
  },
  async refused() {
    await ada.evaluate(() => document.querySelector('#text').removeAttribute('maxlength'));
    await say(ada, 'x'.repeat(501));
    await shows(ada, '#trouble', '500 characters at most');
    same(await ada.inputValue('#text'), 'x'.repeat(501), 'what was not sent');
    same(await bob.locator('#rooms a').allInnerTexts(), ['lobby', 'kitchen'], 'the rooms of bob');
    await bob.evaluate(() => (location.hash = '#staff'));
    await shows(bob, '#trouble', 'not for you');
    same(await log(bob), [], 'what bob sees of the staff');
    await bob.click('text=lobby');
    await becomes(() => log(bob), due);
  },
  async history() {
    await ada.reload();
    await shows(ada, '#state', 'connected');
    await becomes(() => log(ada), due);
  },
  async 'cut-and-resume'() {
    chat.proxy.shut();
    for (const page of [ada, bob]) await shows(page, '#state', 'connecting');
    for (let n = 1; n <= 150; n += 1) {
      await chat.site.api('publish', { channel: 'room:lobby', data: { text: `meanwhile ${n}`, at: Date.now() } });
      due.push(`the house meanwhile ${n}`);
    }
    chat.proxy.open();
    for (const page of [ada, bob]) await shows(page, '#log', 'meanwhile 150');
    await say(bob, 'what was that?');
    due.push('bob what was that?');
    for (const page of [ada, bob]) await becomes(() => log(page), due);
  },
  async 'honest-about-a-gap'() {
    await chat.site.restart();
    for (const page of [ada, bob]) await shows(page, '#log', 'something is missing here');
    await until('bob speaks', async () => (await bob.innerText('#state')).endsWith('connected'));
    await say(bob, 'where were we?');
    await shows(ada, '#log', 'bob where were we?');
  },
  async leaving() {
    await bob.close();
    await shows(ada, '#coming', 'bob has gone');
    await becomes(() => members(ada), ['ada']);
  },
  'ends-well': () => chat.finish(),
});
process.exit(0);
