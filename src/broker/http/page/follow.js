// One or several streams followed without a gap on a connection of their own: what has been within the broker's window, then all that comes,
// across lost connections and new runs. Knows no document.

import * as clock from "./clock.js";
import { DIRECTORY } from "./directory.js";
import { Heard } from "./heard.js";
import { Job } from "./job.js";
import { Lines } from "./lines.js";
import { read } from "./message.js";
import { numbersOf } from "./numbers.js";
import { Run } from "./series.js";
import { byNode, counted, size } from "./words.js";
import { LARGEST_READ, Wire } from "./wire.js";

/** What is asked for of the messages that have been: more than a window usually has. */
const LAST = 200_000;

/** What is known of one stream. */
class Followed {
  constructor(name) {
    this.name = name;
    this.job = new Job();
    this.run = new Run();
    /** The series of the run before, once another has begun while the page was looking. */
    this.before = null;
    this.runs = 0;
    this.missed = 0;
    this.messages = 0;
    this.listeners = null;
    /** The listeners by node, this page among them, if the broker is a node. */
    this.nodes = "";
    this.count = null;
    /** When something last came of it, in seconds since 1970 by the broker's clock. */
    this.heardAt = null;
    this.bytes = null;
    this.refused = null;
    this.isForgotten = false;
    this.isOver = false;
    /** What is shown is of a run that the broker knows no more. */
    this.isKept = false;
    this.started = null;
    this.headerRaw = "";
  }
}

export class Follow {
  /** `changed(follow)` is called when there is something new to show. */
  constructor(url, token, names, changed) {
    this.changed = () => changed(this);
    this.lines = new Lines();
    this.streams = names.map((name) => new Followed(name));
    this.by = new Map(this.streams.map((stream) => [stream.name, stream]));
    this.heard = new Map(names.map((name) => [name, new Heard(name, this)]));
    this.entries = new Map(names.filter((name) => !name.startsWith("$")).map((name) => [DIRECTORY + name, name]));
    this.asked = new Map();
    this.questions = 0;
    this.arrivals = 0;
    this.isCaughtUp = false;
    this.error = null;
    this.wire = new Wire(url, token, {
      opened: () => this.opened(), event: (event) => this.event(event), settled: () => this.changed(), lost: (reason) => this.lost(reason), changed: () => this.changed(),
    });
  }

  close() {
    this.wire.close();
  }

  opened() {
    this.error = null;
    this.isCaughtUp = false;
    this.asked.clear();
    for (const heard of this.heard.values()) {
      heard.forget();
      this.ask(heard, { last: LAST });
    }
    // Its answer comes behind everything that had been before.
    this.wire.send({ action: "ping", receipt: "caught up" });
    for (const entry of this.entries.keys()) this.wire.send({ action: "listen", stream: entry });
  }

  ask(heard, more) {
    this.asked.set(++this.questions, heard);
    this.wire.send(heard.listen(this.questions, more));
  }

  event(event) {
    const { action, stream } = event;
    if (action === "pong") {
      this.caughtUp();
    } else if (action === "receipt" || action === "error") {
      const heard = this.asked.get(event.receipt);
      this.asked.delete(event.receipt);
      if (heard) heard[action](event);
      else if (action === "error" && !this.entries.has(stream)) this.error = event.message?.reason ?? null;
    } else if (this.entries.has(stream)) {
      this.entry(this.entries.get(stream), event);
    } else {
      const heard = this.heard.get(stream);
      if (heard && ["put", "close", "skipped"].includes(action)) heard[action](event);
    }
  }

  caughtUp() {
    if (this.isCaughtUp) return;
    this.isCaughtUp = true;
    const now = clock.now();
    // What came at once out of the window says nothing about how fast the job is.
    for (const { job } of this.streams) if (job.isFresh) job.first = job.k == null ? null : { at: now, k: job.k };
    for (const { job } of this.streams) job.isFresh = false;
  }

  /** What the directory says of a stream that is followed. */
  entry(name, event) {
    const [stream, heard] = [this.by.get(name), this.heard.get(name)];
    if (event.action === "close") {
      Object.assign(stream, { isForgotten: true, listeners: 0, nodes: "" });
      this.wire.send({ action: "listen", stream: event.stream });
      return;
    }
    const told = event.message;
    if (event.action !== "put" || typeof told !== "object" || told === null) return;
    stream.isForgotten = false;
    // This page is one of them, as long as it listens.
    const ours = heard.asked === 0 && !stream.isOver && !stream.refused ? 1 : 0;
    stream.listeners = Number.isFinite(told.listeners) ? Math.max(0, told.listeners - ours) : null;
    stream.nodes = byNode(told.nodes, ours === 1);
    stream.count = Number.isFinite(told.messages) ? told.messages : null;
    stream.bytes = Number.isFinite(told.bytes) ? told.bytes : null;
    for (const time of [told.header_time, told.message_time]) {
      if (!Number.isFinite(time)) continue;
      clock.heard(time);
      stream.heardAt = Math.max(stream.heardAt ?? time, time);
    }
    const isNew = stream.isOver && told.state !== "ended";
    const isBegun = told.state === "running" && stream.job.state === "waiting";
    if ((isNew || isBegun) && heard.asked === 0) {
      if (isNew) heard.position = null;
      this.ask(heard, isNew ? { last: LAST } : { after: undefined });
    }
  }

  joined(heard, event, header, before, headerEvent) {
    const stream = this.by.get(heard.name);
    const wasOver = stream.isOver;
    if (wasOver && event.state === "waiting") {
      // The broker has begun anew, or forgotten it. What is known stays until another run begins.
      stream.isForgotten = stream.isKept = true;
      return;
    }
    Object.assign(stream, { refused: null, isOver: false, isForgotten: false });
    const { job } = stream;
    if (event.resumed) {
      job.state = event.state;
      job.isSilent = null;
      return;
    }
    const started = header?.step?.started ?? header?.ending?.started ?? null;
    const isOther = job.epoch !== undefined && job.epoch !== event.position?.epoch;
    // After a restart of the broker the job goes on under a new epoch: its start tells that it is the same.
    const isSame = isOther && !wasOver && before != null && (!started || !stream.started || started === stream.started);
    if (isOther && !isSame) this.begin(stream);
    else if (isOther) this.gap(stream, null);
    else if (before && event.missed) this.gap(stream, event.missed);
    stream.started = started ?? stream.started;
    if (isSame) {
      // What the broker does not know any more, the page still does.
      job.epoch = event.position?.epoch;
      job.isClosed = false;
      if (header) job.take(header, clock.now(), true);
      else job.isSilent = clock.now();
      job.state = header || event.state !== "waiting" ? event.state : job.state;
      if (header) job.isSilent = null;
    } else {
      job.join(header, event, clock.now());
      job.isSilent = null;
      job.isFresh = true;
    }
    if (headerEvent) stream.headerRaw = headerEvent.raw.slice(0, 4000);
  }

  /** Another run of the same name. */
  begin(stream) {
    if (stream.run.series.size > 0) stream.before = stream.run;
    stream.run = new Run();
    stream.runs += 1;
    stream.missed = 0;
    stream.messages = 0;
    this.notice(stream, "another run begins");
  }

  gap(stream, missed) {
    stream.run.gap();
    stream.missed = missed == null || stream.missed == null ? null : stream.missed + missed;
    if (missed != null) stream.messages += missed;
    this.notice(stream, missed == null ? "messages may be missing here: the broker has begun anew" : `${counted(missed, "message")} ${missed === 1 ? "is" : "are"} missing here: the broker does not keep ${missed === 1 ? "it" : "them"} any more`);
  }

  message({ name, position }, event) {
    const stream = this.by.get(name);
    const isRead = event.message !== undefined;
    const message = isRead ? read(event.message, event.raw) : { kind: "other", body: null, line: event.raw.slice(0, 400), level: "" };
    if (!isRead) message.line = `(${size(event.raw.length)}, ${event.raw.length > LARGEST_READ ? "too large to be read here" : "not readable here"}) ${message.line}`;
    if (stream.isKept) {
      this.begin(stream);
      stream.job.join(null, { state: "running", age: 0, position }, clock.now());
      stream.isOver = stream.isKept = stream.isForgotten = false;
    }
    stream.job.isSilent = null;
    stream.job.isHeard = true;
    const heard = this.isCaughtUp ? clock.now() - event.ago : null;
    stream.heardAt = heard ?? stream.heardAt;
    stream.job.take(message, clock.now(), !this.isCaughtUp);
    const numbers = numbersOf(message);
    stream.run.started = stream.job.started ?? stream.run.started;
    stream.run.began = stream.job.began ?? stream.run.began;
    stream.run.add(stream.messages, numbers, heard);
    stream.messages += 1;
    this.arrivals += 1;
    const text = message.line || (message.kind === "log" ? "" : message.kind);
    this.lines.add({ stream: stream.name, kind: message.kind, level: message.level, tag: message.tag, text, raw: event.raw, at: this.isCaughtUp ? Date.now() - event.ago * 1000 : null });
    if (message.ending?.traceback) this.traceback(stream, message.ending.traceback);
  }

  traceback(stream, text) {
    for (const line of text.slice(0, 20_000).split("\n").slice(-100)) {
      if (line.trim()) this.lines.add({ stream: stream.name, kind: "end", level: "error", text: line, raw: line, at: this.isCaughtUp ? Date.now() : null });
    }
  }

  ended(heard, event) {
    const stream = this.by.get(heard.name);
    stream.isOver = true;
    const last = "message" in event ? read(event.message) : null;
    stream.job.close(last, clock.now());
    if (last?.ending?.traceback) this.traceback(stream, last.ending.traceback);
    const { ending } = stream.job;
    const level = ending.how === "failed" || ending.how === "lost" ? "error" : ending.how === "aborted" ? "warning" : "";
    this.notice(stream, `the stream has ended: ${stream.job.told}`, level);
  }

  refused(heard, error) {
    const stream = this.by.get(heard.name);
    stream.refused = error.reason || error.code || "refused";
    this.notice(stream, stream.refused, "error");
  }

  lost(reason) {
    const now = clock.now();
    for (const heard of this.heard.values()) heard.forget();
    for (const stream of this.streams) if (!stream.isOver) stream.job.isSilent ??= now;
    this.notice(null, reason ? `the connection has ended: ${reason}` : "the connection to the broker is lost", "warning");
  }

  notice(stream, text, level = "") {
    this.lines.add({ stream: stream?.name ?? "", kind: "notice", level, text, raw: text, at: Date.now() });
  }
}
