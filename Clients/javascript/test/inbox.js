'use strict';

const WAIT = 20_000;

/** What comes, in its order; waiting for something that does not come fails. */
class Inbox {
  constructor(what) {
    this.what = what;
    this.items = [];
    this.wake = () => {};
  }

  push(item) {
    this.items.push(item);
    this.wake();
  }

  async next(limit = WAIT) {
    if (this.items.length === 0) {
      await within(limit, this.what, new Promise((resolve) => { this.wake = resolve; }));
    }
    return this.items.shift();
  }
}

function within(limit, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit} ms for ${what}`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function eventually(what, condition) {
  const end = Date.now() + WAIT;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${WAIT} ms for ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
}

module.exports = { Inbox, eventually, within };
