// All streams, as the broker's directory `$streams/` tells of them. Knows no document.

import * as clock from "./clock.js";
import { Job } from "./job.js";

export const DIRECTORY = "$streams/";
/** More streams than this are not kept; the page says so. */
export const MOST_STREAMS = 100_000;

/** One stream: what the directory says of it, and its job as far as anybody has looked. */
class Entry {
  constructor(name) {
    this.name = name;
    this.job = null;
    this.ours = false;
    this.state = "waiting";
    this.listeners = this.messages = this.bytes = 0;
    this.headerTime = this.messageTime = null;
    this.pace = null;
  }

  take(told, isNews) {
    const at = performance.now();
    const count = whole(told.messages);
    if (isNews && this.epoch === told.position?.epoch && this.toldAt) {
      const passed = (at - this.toldAt) / 1000;
      if (passed > 0.3) this.pace = { rate: (count - this.messages) / passed, at };
    }
    this.toldAt = at;
    if (this.epoch !== undefined && this.epoch !== told.position?.epoch && this.job?.isClosed) this.job = null;
    this.epoch = told.position?.epoch;
    this.state = typeof told.state === "string" ? told.state.slice(0, 20) : "waiting";
    // This page's own listening is nobody's interest in the job.
    this.listeners = Math.max(0, whole(told.listeners) - (this.ours ? 1 : 0));
    this.messages = count;
    this.bytes = whole(told.bytes);
    this.headerTime = Number.isFinite(told.header_time) ? told.header_time : null;
    this.messageTime = Number.isFinite(told.message_time) ? told.message_time : null;
    clock.heard(Math.max(this.headerTime ?? -Infinity, this.messageTime ?? -Infinity));
    if (this.state !== "ended" && this.job?.isClosed) this.job = null;
  }

  /** When something last came of it, in seconds since 1970 by the broker's clock. */
  get latest() {
    return Math.max(this.told, this.heardAt ?? 0);
  }

  get told() {
    if (this.headerTime != null || this.messageTime != null) return Math.max(this.headerTime ?? 0, this.messageTime ?? 0);
    // An end without a word has no time of its own, but the receipt has its age.
    const since = this.state === "ended" ? this.job?.since : null;
    return since ? since.at - since.seconds : 0;
  }

  /** Nobody has begun it, and no message of it is kept. */
  get isBare() {
    return this.state === "waiting" && this.messageTime == null;
  }

  get word() {
    if (this.job?.ending) return this.job.ending.how;
    return this.state === "waiting" && this.messages > 0 ? "running" : this.state;
  }

  get title() {
    return this.job?.title ?? null;
  }

  get share() {
    return this.job?.share ?? null;
  }

  /** The job, which is known from now on. */
  opened() {
    this.job ??= new Job();
    return this.job;
  }
}

function whole(value) {
  return Number.isFinite(value) && value >= 0 ? value : 0;
}

/** Keeps the entries true from the events of a listen to the directory. */
export class Directory {
  constructor() {
    this.entries = new Map();
    this.left = 0;
    /** Changes with everything that a list could show. */
    this.changes = 0;
    /** Changes with the names that there are. */
    this.births = 0;
    this.joining = null;
    this.isWhole = false;
  }

  /** The line that listens to those whose names begin so. */
  listen(prefix, receipt) {
    this.joining = new Set();
    return { action: "listen", prefix: DIRECTORY + prefix, mode: "latest", receipt };
  }

  put(event, isNews) {
    const name = event.stream.slice(DIRECTORY.length);
    const told = event.message;
    if (typeof told !== "object" || told === null) return null;
    let entry = this.entries.get(name);
    if (!entry) {
      if (this.entries.size >= MOST_STREAMS) {
        this.left += 1;
        return null;
      }
      entry = new Entry(name);
      this.entries.set(name, entry);
      this.births += 1;
    }
    entry.take(told, isNews);
    this.joining?.add(name);
    this.changes += 1;
    return entry;
  }

  /** All that there were have been told: what was not is not there any more. */
  complete() {
    for (const name of this.entries.keys()) if (this.joining && !this.joining.has(name)) this.entries.delete(name);
    this.joining = null;
    this.isWhole = true;
    this.changes += 1;
  }

  close(event) {
    this.entries.delete(event.stream.slice(DIRECTORY.length));
    this.changes += 1;
  }
}
