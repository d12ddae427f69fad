// The decoders of npm `centrifuge` on deltas that taiwa made. Each line of stdin has the words `text` or `bytes`, source,
// target and delta, the last three in hexadecimal; what is decoded must be the target.
import { readFileSync } from 'node:fs';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as CentrifugeProtobuf } from 'centrifuge/build/protobuf';

// Both clients pick their decoder when they are made; neither connects.
const options = { websocket: class {} };
const decoders = {
  text: new Centrifuge('ws://localhost', options)._codec,
  bytes: new CentrifugeProtobuf('ws://localhost', options)._codec,
};
if (decoders.text.name() === decoders.bytes.name()) {
  throw new Error('both clients have the same decoder');
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
let count = 0;
for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const [kind, ...fields] = line.split(' ');
  const [source, target, delta] = fields.map((it) => new Uint8Array(Buffer.from(it, 'hex')));
  const decoder = decoders[kind];
  // As it comes from the wire: in JSON a string, in protobuf bytes.
  const form = (bytes) => (kind === 'text' ? utf8.decode(bytes) : bytes);
  // The first publication is whole, and the decoder keeps it for the next one.
  const { newPrevValue } = decoder.applyDeltaIfNeeded({ data: form(source) });
  const decoded = decoder.applyDeltaIfNeeded({ data: form(delta), delta: true }, newPrevValue);
  if (!decoded.isDelta || Buffer.compare(Buffer.from(decoded.newPrevValue), target) !== 0) {
    throw new Error(`line ${count + 1}: not the target`);
  }
  count += 1;
}
console.log(`decoded ${count}`);
