// Somebody who publishes by several nodes, whatever happens to them.
import { until, within } from '../words.mjs';

const WAIT_MS = 30_000;

/** Publishes 1, 2, 3 … by any node; what was not taken for certain is said again, under the same identifier. */
export class Publisher {
  said = 0;
  errors = 0;
  #isStopped = false;

  constructor(nodes, channel, base = 0) {
    this.base = base;
    this.run = this.#run(nodes, channel, `${channel}-${Math.random()}`);
    this.run.catch(() => {});
  }

  async #run(nodes, channel, name) {
    while (!this.#isStopped) {
      const number = this.said + 1;
      const node = nodes[(number + this.errors) % nodes.length];
      try {
        const publication = { channel, data: this.base + number, id: `${name}-${number}` };
        await within(node.api('publish', publication), 5_000, 'an answer');
        this.said = number;
      } catch (error) {
        this.errors += 1;
        this.why = error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  }

  more(count) {
    const due = this.said + count;
    return until(`${count} more publications`, () => this.said >= due, WAIT_MS).catch((late) => {
      throw new Error(`${late.message}; the last error: ${this.why}`);
    });
  }

  async stop() {
    this.#isStopped = true;
    await this.run;
    return this.said;
  }
}
