// What one listen to a stream hears, told apart: the header, the receipt, messages, the end. Keeps count of the position. Knows no document.

import { read } from "./message.js";

/** Follows the events of one stream on one connection. `owner` has `joined`, `message`, `ended` and `refused`. */
export class Heard {
  constructor(name, owner) {
    this.name = name;
    this.owner = owner;
    this.position = null;
    /** A listen was said and not answered yet. */
    this.asked = 0;
    this.held = null;
  }

  /** The line that listens, after `position` if there is one. */
  listen(receipt, more) {
    this.asked += 1;
    return { action: "listen", stream: this.name, receipt, ...(this.position ? { after: this.position } : {}), ...more };
  }

  /** The connection is lost, and with it what was asked on it. */
  forget() {
    this.flush();
    this.asked = 0;
  }

  put(event) {
    if (this.asked === 0) return this.count(event);
    // The one directly before the receipt is the header.
    this.flush();
    this.held = event;
  }

  receipt(event) {
    this.asked = Math.max(0, this.asked - 1);
    // Of a stream that has ended the broker says whether it has one.
    const header = event.state === "waiting" || event.resumed || event.header === false ? null : this.held;
    if (!header) this.flush();
    this.held = null;
    const before = this.position;
    this.position = event.position ? { ...event.position } : null;
    this.owner.joined(this, event, header && read(header.message, header.raw), before, header);
  }

  skipped(event) {
    if (this.position) this.position.sequence += event.messages;
  }

  close(event) {
    this.flush();
    this.owner.ended(this, event);
  }

  error(event) {
    this.asked = Math.max(0, this.asked - 1);
    this.flush();
    this.owner.refused(this, event.message ?? {});
  }

  flush() {
    const held = this.held;
    this.held = null;
    if (held) this.count(held);
  }

  count(event) {
    if (this.position) this.position.sequence += 1;
    this.owner.message(this, event);
  }
}
