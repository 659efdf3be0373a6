// What the messages of a stream add up to: how far its job is, how it ended, how long it will take. The same rules as the terminal's.
// Times are seconds since 1970 by the broker's clock, given from outside. Knows no document.

import { amount, age, inline, isPercentage, rate, timeOf, words } from "./words.js";

/** The words for how a job stands, in the order in which people must see them. */
export const STATES = ["failed", "lost", "aborted", "running", "waiting", "done", "ended"];

/** A job that says to begin more seconds from now has another clock, or a time of another zone: then it is not known how long it has run. */
const AHEAD = 60;

export class Job {
  constructor() {
    this.begin();
    /** What the broker says of the stream: "waiting", "running", "ended", or null before it has. */
    this.state = null;
    /** How long it has been so, in seconds at a time: {state, seconds, at}, or null. */
    this.since = null;
    /** Messages of its run have come. */
    this.isHeard = false;
    /** Its run, as the broker names it. */
    this.epoch = undefined;
    /** Its close has come; it had ended before it was listened to. */
    this.isClosed = false;
    this.wasEnded = false;
  }

  /** A run begins; of the one before nothing stays. */
  begin() {
    this.title = null;
    this.k = null;
    this.total = null;
    this.units = null;
    this.text = null;
    this.started = null;
    this.first = null;
    this.ending = null;
    this.best = null;
    this.line = "";
    this.level = "";
    this.isSilent = null;
  }

  /** Takes a message that was read: a header, or one that comes just when it happens. */
  take(message, now, isHeader) {
    if (this.ending && !isHeader && !["start", "join"].includes(message.kind)) {
      // What comes late from a job that has ended changes nothing; another end is another word on it.
      if (message.kind !== "end") return;
    }
    if (message.kind === "start") {
      this.begin();
      this.step({ ...message.step, k: message.step.total == null ? null : 0 }, now);
      if (!isHeader) this.started ??= now;
    } else if (message.kind === "join") {
      if (this.ending) this.begin();
      this.k = this.total = this.units = null;
      this.step(message.step, now);
      if (message.body.improvement && typeof message.body.improvement === "object") this.best = message.body.improvement.value ?? null;
    } else if (message.kind === "progress") {
      this.step(message.step, now);
    } else if (message.kind === "improvement") {
      this.best = message.body.value;
    } else if (message.kind === "end") {
      this.end(message.ending, now, isHeader);
    }
    // A header is a summary; it is the last message only where nothing else says more.
    if (message.kind !== "join" && message.kind !== "end" && message.line) {
      this.line = inline(message.kind === "progress" ? message.step.text ?? "" : message.line, 300);
      this.level = message.level;
    }
  }

  step(step, now) {
    this.title = step.title ?? this.title;
    this.total = step.total ?? this.total;
    this.units = step.units ?? this.units;
    this.text = step.text;
    this.started = timeOf(step.started) ?? this.started;
    this.k = step.k ?? this.k;
    if (step.k != null) this.first ??= { at: now, k: step.k };
  }

  end(ending, now, isHeader) {
    this.title = ending.title ?? this.title;
    this.started = timeOf(ending.started) ?? this.started;
    this.ending = { ...ending, at: timeOf(ending.ended) ?? (isHeader || ending.how === "lost" ? null : now) };
    if (ending.how === "done" && this.total != null) this.k = this.total;
  }

  /** The stream has ended, perhaps with a word on how. */
  close(message, now) {
    if (message?.kind === "end") this.end(message.ending, now, this.wasEnded);
    this.ending ??= { how: "ended", what: message?.line ? inline(message.line, 300) : null, at: this.wasEnded ? null : now };
    if (this.state !== "ended") this.since = { state: "ended", seconds: 0, at: now };
    this.state = "ended";
    this.isClosed = true;
  }

  /** What the broker says when it is listened to: the header that came before, or null, and what the receipt has. */
  join(header, { state, age: seconds, position }, now) {
    if (position?.epoch !== this.epoch || (this.isClosed && state !== "ended")) this.begin();
    if (position?.epoch !== this.epoch) this.isHeard = false;
    this.epoch = position?.epoch;
    this.isClosed = false;
    this.wasEnded = state === "ended";
    if (header) this.take(header, now, true);
    this.state = state;
    this.since = seconds == null ? null : { state, seconds, at: now };
  }

  /** One word for how it stands. */
  get word() {
    if (this.ending) return this.ending.how;
    // For the broker a stream begins with its header; for people, with whatever is said on it first.
    return this.state === "waiting" && this.isHeard ? "running" : this.state ?? "waiting";
  }

  get share() {
    if (this.total == null || this.total <= 0) return null;
    return Math.min(1, Math.max(0, (this.k ?? 0) / this.total));
  }

  /** `3/10 steps`, or nothing if the job does not count. */
  get count() {
    return this.k == null && this.total == null ? "" : amount(this.k ?? 0, this.total, this.units && inline(this.units, 40));
  }

  get isPercentage() {
    return isPercentage(this.total, this.units);
  }

  /** How long it has been running or had when it ended, in seconds; null if that is not known. */
  elapsed(now) {
    if (this.started == null) return null;
    if (this.ending) return this.ending.at == null ? null : Math.max(0, this.ending.at - this.started);
    const passed = (this.isSilent ?? now) - this.started;
    return passed < -AHEAD ? null : Math.max(0, passed);
  }

  /** When it began, in seconds since 1970: by its own word, or else the broker's on how long it has been running; null if that is not known. */
  get began() {
    return this.started ?? (this.since?.state === "running" ? this.since.at - this.since.seconds : null);
  }

  /** Units each second: since it began, or else since it was seen first. */
  speed(now) {
    if (this.k == null || this.ending) return null;
    const at = this.isSilent ?? now;
    const [since, before] = this.elapsed(now) != null ? [this.started, 0] : this.first ? [this.first.at, this.first.k] : [null, 0];
    if (since == null) return null;
    const [done, passed] = [this.k - before, at - since];
    return done > 0 && passed > 0 ? done / passed : null;
  }

  /** `2.5 steps/s`, or nothing. */
  rate(now) {
    const speed = this.speed(now);
    return speed == null ? "" : rate(speed, this.units && inline(this.units, 40));
  }

  /** How long it is likely to go on, in seconds, or null. */
  left(now) {
    const speed = this.speed(now);
    if (speed == null || this.total == null || this.total <= 0) return null;
    const left = Math.max(0, this.total - this.k) / speed;
    // A century is no forecast.
    return left < 3e9 ? Math.round(left) : null;
  }

  /** `done in 4 s`, `failed after 4 s: exit status 2`, or nothing while it runs. */
  get told() {
    if (!this.ending) return "";
    const { how, what, at } = this.ending;
    const took = this.started != null && at != null ? ` ${how === "done" ? "in" : "after"} ${words(Math.max(0, at - this.started))}` : "";
    return `${how}${took}${what ? `: ${inline(what, 2000)}` : ""}`;
  }

  /** `3 min ago`, or nothing: when its stream ended, by the job's own word or else the broker's. */
  endedAgo(now) {
    const seconds = this.ending?.at != null ? now - this.ending.at : this.since && this.state === "ended" ? this.since.seconds + now - this.since.at : null;
    return seconds == null ? "" : seconds < 1 ? "just now" : `${age(seconds)} ago`;
  }
}
