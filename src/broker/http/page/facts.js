// The head of a stream's view: how each job stands, how far it is and how it ended.

import { write } from "./address.js";
import { badge, el, mark, say, show } from "./dom.js";
import { shown } from "./message.js";
import { age, counted, grouped, inline, reading, running, size, words } from "./words.js";

/** The facts of one stream. */
export class Facts {
  /** `index` is its number among those that are compared; `leave` takes it out. */
  constructor(name, index, leave) {
    this.name = name;
    this.swatch = el("span", { class: "swatch", "data-colour": index % 8, "aria-hidden": "true" });
    this.heading = el("a", { dir: "auto", href: "#" }, inline(name, 300));
    this.title = el("span", { class: "title", dir: "auto" });
    this.badge = badge("waiting");
    this.leave = el("button", { type: "button", class: "quiet", "aria-label": `Leave ${inline(name, 60)} out`, onclick: leave }, "✕");
    this.percent = el("span", { class: "percent" });
    this.count = el("span", { class: "count", dir: "auto" });
    this.text = el("span", { class: "text", dir: "auto" });
    this.fill = el("span", { class: "fill" });
    this.bar = el("div", { class: "bar", role: "progressbar", "aria-label": `Progress of ${inline(name, 60)}`, "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
    this.values = new Map();
    this.list = el("dl", {}, ...["elapsed", "time left", "rate", "best", "listeners", "by node", "messages", "last heard"].map((term) => {
      const value = el("dd", { dir: "auto" });
      const pair = el("div", {}, el("dt", {}, term), value);
      this.values.set(term, { value, pair });
      return pair;
    }));
    this.ending = el("p", { class: "ending", dir: "auto" });
    this.element = el("section", { class: "facts", "aria-label": inline(name, 100) },
      el("header", {}, this.swatch, el("h1", {}, this.heading), this.title, this.badge, this.leave), this.ending,
      el("div", { class: "progress" }, el("div", { class: "told" }, this.percent, this.count, this.text), this.bar), this.list);
  }

  /** `at` is {now, isLive, isOne, view}. */
  update(stream, at) {
    const { job } = stream;
    const { now } = at;
    show(this.swatch, !at.isOne);
    show(this.leave, !at.isOne);
    mark(this.heading, "href", write({ ...at.view, streams: [stream.name] }));
    this.badge.set(job.word);
    say(this.title, job.title && job.title !== stream.name ? inline(job.title, 300) : "");
    const share = job.share;
    show(this.bar, share != null);
    mark(this.bar, "data-state", job.ending ? job.ending.how : "running");
    if (share != null) {
      this.fill.style.width = `${(share * 100).toFixed(2)}%`;
      mark(this.bar, "aria-valuenow", Math.floor(share * 100));
    }
    say(this.percent, share == null ? "" : `${Math.floor(share * 100)}%`);
    say(this.count, job.isPercentage ? "" : job.count);
    say(this.text, job.ending ? "" : inline(job.text ?? "", 300));
    const elapsed = job.elapsed(now);
    const left = job.left(now);
    this.value("elapsed", elapsed == null ? (job.since && job.state === "running" && !job.ending ? `over ${words(job.since.seconds + now - job.since.at)}` : "") : running(elapsed));
    this.value("time left", left == null ? "" : running(left));
    this.value("rate", job.rate(now));
    this.value("best", job.best == null ? "" : typeof job.best === "number" ? reading(job.best) : inline(shown(job.best, 60), 60));
    this.value("listeners", stream.listeners == null ? "" : grouped(stream.listeners));
    this.value("by node", stream.nodes);
    this.value("messages", stream.count == null ? "" : `${grouped(stream.count)}${stream.bytes ? ` (${size(stream.bytes)})` : ""}`);
    this.value("last heard", stream.heardAt == null || job.ending ? "" : `${age(now - stream.heardAt)} ago`);
    this.end(stream, at);
  }

  value(term, text) {
    const { value, pair } = this.values.get(term);
    say(value, text);
    show(pair, text !== "");
  }

  end(stream, { now, isLive }) {
    const { job } = stream;
    const parts = [];
    let state = job.ending?.how ?? "";
    if (stream.refused) {
      parts.push(`The broker says: ${stream.refused}`);
      state = "failed";
    } else if (job.ending) {
      const ago = job.endedAgo(now);
      parts.push(`${job.told}${ago ? ` · ${ago}` : ""}`);
      if (!stream.isOver && isLive && !stream.isKept) parts.push("the stream is still open");
    } else if (!isLive && !stream.isOver) {
      parts.push(`no news${job.isSilent ? ` for ${age(now - job.isSilent)}` : ""}: this is how it stood`);
      state = "silent";
    } else if (job.isSilent) {
      parts.push("the broker has begun anew and has not heard of this job since: this is how it stood");
      state = "silent";
    } else if (job.state === "waiting" && stream.messages === 0) {
      parts.push("nobody has begun this stream yet: it appears here when somebody does");
    }
    if (stream.isForgotten && job.ending) parts.push("the broker has forgotten it");
    if (stream.missed == null) parts.push("messages are missing, the broker does not know how many");
    else if (stream.missed > 0) parts.push(`${counted(stream.missed, "message")} missing`);
    say(this.ending, parts.join(" · "));
    show(this.ending, parts.length > 0);
    mark(this.ending, "data-state", state || null);
  }
}
