// The connection of the list: the directory of all streams, and for those in view their header and newest message. Of streams that have
// ended, how they did is looked up, a few at a time. Knows no document.

import * as clock from "./clock.js";
import { Directory, DIRECTORY } from "./directory.js";
import { Heard } from "./heard.js";
import { read } from "./message.js";
import { Wire } from "./wire.js";

/** So many ends are asked for at once, and no more once they have taken so many characters. */
const AT_ONCE = 32;
const MOST_READ = 64 * 1024 * 1024;
const SETTLES = 150;

export class Watching {
  /** `changed()` is called when there is something new to show. */
  constructor(url, token, changed) {
    this.changed = () => changed(this);
    this.directory = new Directory();
    /** Streams in view, by name, and those whose end is looked up. */
    this.heard = new Map();
    this.wanted = new Set();
    this.looked = new Map();
    this.unknown = new Set();
    this.read = 0;
    /** Who asked, by the number of the question. */
    this.asked = new Map();
    this.questions = 0;
    this.prefix = "";
    /** Why the directory is not to be had, in the broker's words. */
    this.denied = null;
    this.notes = [];
    this.wire = new Wire(url, token, {
      opened: () => this.opened(), event: (event) => this.event(event), settled: () => this.settled(), lost: () => this.lost(), changed: () => this.changed(),
    });
  }

  opened() {
    this.denied = null;
    this.wire.send(this.directory.listen(this.prefix, "directory"));
    // Streams in view are listened to once the directory has told which there are: to listen is to bring one into being.
    this.asked.clear();
    this.heard.clear();
  }

  /** Only the streams whose names begin so: for a token that may not see all of them. */
  narrow(prefix) {
    this.wire.send({ action: "hangup", prefix: DIRECTORY + this.prefix });
    this.prefix = prefix;
    this.denied = null;
    this.directory.isWhole = false;
    this.wire.send(this.directory.listen(prefix, "directory"));
    this.changed();
  }

  /** The streams that are in view now. Nothing is said before the view has settled. */
  want(names) {
    if (names.length === this.wanted.size && names.every((name) => this.wanted.has(name))) return;
    this.wanted = new Set(names);
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.follow(), SETTLES);
  }

  follow() {
    for (const [name] of this.heard) if (!this.wanted.has(name)) this.leave(name);
    if (this.directory.joining) return;
    for (const name of this.wanted) {
      const entry = this.directory.entries.get(name);
      if (this.heard.has(name) || !entry || entry.isBare) continue;
      const heard = new Heard(name, this);
      this.heard.set(name, heard);
      this.ask(heard);
    }
  }

  ask(heard, more = { mode: "latest", last: 1 }) {
    heard.position = null;
    this.asked.set(++this.questions, heard);
    this.wire.send(heard.listen(this.questions, more));
  }

  leave(name) {
    this.heard.delete(name);
    this.wire.send({ action: "hangup", stream: name });
    const entry = this.directory.entries.get(name);
    if (entry) entry.ours = false;
  }

  event(event) {
    if (event.action === "receipt" || event.action === "error") return this.answered(event);
    const name = event.stream;
    if (typeof name !== "string") return;
    if (name.startsWith(DIRECTORY)) {
      if (event.action === "put") this.told(this.directory.put(event, this.directory.joining === null));
      else if (event.action === "close") this.directory.close(event);
      return;
    }
    const heard = this.heard.get(name) ?? this.looked.get(name);
    if (!heard) return;
    if (event.action === "put") heard.put(event);
    else if (event.action === "skipped") heard.skipped(event);
    else if (event.action === "close") heard.close(event);
    if (event.raw && this.looked.has(name)) this.read += event.raw.length;
  }

  answered(event) {
    const heard = this.asked.get(event.receipt);
    if (event.receipt === "directory") {
      this.denied = event.action === "error" ? event.message ?? {} : null;
      this.directory.complete();
      this.follow();
    } else if (heard) {
      this.asked.delete(event.receipt);
      if (event.action === "receipt") heard.receipt(event);
      else heard.error(event);
    } else if (event.action === "error") {
      this.note(event.message?.reason ?? "");
    }
  }

  /** The directory has told something of a stream. */
  told(entry) {
    if (!entry) return;
    const { name, job } = entry;
    if (job) job.isSilent = null;
    const heard = this.heard.get(name);
    if (entry.isBare) {
      // Who listens to a stream keeps it. Where nothing is, nothing is kept by looking at it.
      if (heard) this.leave(name);
    } else if (!heard && this.wanted.has(name)) {
      this.follow();
    }
    if (entry.state === "ended") {
      if (!job?.isClosed && !heard) this.unknown.add(name);
    } else {
      this.unknown.delete(name);
      // It has begun again; or its first header was set, which is not told to who listens already.
      const isBegun = heard?.isOver || (entry.state === "running" && job?.state === "waiting");
      if (heard && isBegun && heard.asked === 0) this.ask(heard);
    }
  }

  /** How streams have ended that nobody has scrolled to: they can be counted and looked for. */
  lookUp() {
    if (this.wire.state !== "live" || this.directory.joining) return;
    for (const name of this.unknown) {
      if (this.looked.size >= AT_ONCE || this.read > MOST_READ) return;
      this.unknown.delete(name);
      if (this.heard.has(name)) continue;
      const heard = new Heard(name, this);
      this.looked.set(name, heard);
      this.ask(heard, { mode: "latest" });
    }
  }

  joined(heard, event, header) {
    const { name } = heard;
    const isLooked = this.looked.get(name) === heard;
    const entry = this.directory.entries.get(name);
    if (isLooked && event.state !== "ended") {
      this.looked.delete(name);
      this.wire.send({ action: "hangup", stream: name });
      return;
    }
    if (!entry || (!isLooked && this.heard.get(name) !== heard)) return;
    heard.isOver = false;
    heard.isFresh = entry.messages > 0;
    entry.ours = event.state !== "ended";
    const job = entry.opened();
    job.join(header, event, clock.now());
    job.isSilent = null;
    this.directory.changes += 1;
  }

  message(heard, event) {
    const entry = this.directory.entries.get(heard.name);
    if (!entry) return;
    const now = clock.now();
    // The newest message may have come long before it was asked for.
    const wasBefore = heard.isFresh;
    heard.isFresh = false;
    if (!wasBefore) entry.heardAt = now;
    entry.opened().take(read(event.message, event.raw), now, wasBefore);
    this.directory.changes += 1;
  }

  ended(heard, event) {
    heard.isOver = true;
    this.looked.delete(heard.name);
    const entry = this.directory.entries.get(heard.name);
    if (!entry) return;
    entry.ours = false;
    entry.opened().close("message" in event ? read(event.message) : null, clock.now());
    this.directory.changes += 1;
  }

  refused(heard, error) {
    if (this.looked.get(heard.name) === heard) this.looked.delete(heard.name);
    const entry = this.directory.entries.get(heard.name);
    if (entry) {
      entry.opened().line = error.reason ?? "";
      entry.job.level = "warning";
    }
  }

  note(reason) {
    if (reason && this.notes.at(-1) !== reason) this.notes = [...this.notes.slice(-4), reason];
  }

  settled() {
    this.lookUp();
    this.changed();
  }

  lost() {
    const now = clock.now();
    this.looked.clear();
    this.asked.clear();
    for (const heard of this.heard.values()) heard.forget();
    for (const entry of this.directory.entries.values()) {
      entry.ours = false;
      if (entry.job) entry.job.isSilent ??= now;
      if (entry.state === "ended" && !entry.job?.isClosed) this.unknown.add(entry.name);
    }
  }
}
