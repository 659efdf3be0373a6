// One row of the list: a job with its state, progress, rate and time left. The elements are made once and filled again and again.

import { badge, el, mark, say, show } from "./dom.js";
import { age, grouped, inline, rounded, words } from "./words.js";
import { write } from "./address.js";

/** The columns: [class, heading, what it sorts by, what it means]. */
export const COLUMNS = [
  ["pick", "", null], ["what", "Stream", "name"], ["how", "State", "standing"], ["far", "Progress", "progress"], ["fast", "Rate, time left", null],
  ["ears", "Listeners", "listeners", "Connections that listen, without this page"], ["many", "Messages", "messages", "Messages of this run"],
  ["when", "Last heard", "latest", "How long ago something last came"],
];

export class Row {
  constructor(picked) {
    this.pick = el("button", { class: "tick", type: "button", tabindex: -1, onclick: (event) => { event.stopPropagation(); picked(this.entry.name); } });
    this.name = el("a", { class: "name", tabindex: -1, dir: "auto" });
    this.title = el("span", { class: "title", dir: "auto" });
    this.line = el("span", { class: "line", dir: "auto" });
    this.badge = badge();
    this.since = el("span", { class: "sub" });
    this.percent = el("span", { class: "percent" });
    this.count = el("span", { class: "count", dir: "auto" });
    this.fill = el("span", { class: "fill" });
    this.bar = el("span", { class: "bar", "aria-hidden": "true" }, this.fill);
    this.rate = el("span", { dir: "auto" });
    this.left = el("span", { class: "sub" });
    this.ears = el("span");
    this.many = el("span");
    this.pace = el("span", { class: "sub" });
    this.when = el("span");
    const contents = {
      pick: [this.pick], what: [el("span", { class: "names" }, this.name, this.title), this.line], how: [this.badge, this.since],
      far: [el("span", { class: "told" }, this.percent, this.count), this.bar], fast: [this.rate, this.left], ears: [this.ears],
      many: [this.many, this.pace], when: [this.when],
    };
    this.element = el("div", { class: "row", role: "row" }, ...COLUMNS.map(([name]) => el("div", { class: name, role: "gridcell" }, ...contents[name])));
  }

  /** Shows an entry in its place. `at` is {index, height, isCurrent, isPicked, now, isLive}. */
  fillWith(entry, at) {
    const { element } = this;
    this.entry = entry;
    const y = `translateY(${at.index * at.height}px)`;
    if (this.y !== y) {
      this.y = y;
      element.style.transform = y;
      mark(element, "aria-rowindex", at.index + 2);
      mark(element, "id", `row-${at.index}`);
    }
    mark(element, "aria-selected", at.isPicked ? "true" : "false");
    element.classList.toggle("current", at.isCurrent);
    element.classList.toggle("stale", !at.isLive && entry.state !== "ended");
    const name = inline(entry.name, 300);
    if (this.name.said !== name) {
      say(this.name, name);
      mark(this.name, "href", write({ ...at.view, streams: [entry.name] }));
      mark(this.name, "title", name);
      mark(this.pick, "aria-label", `compare ${name}`);
    }
    mark(this.pick, "aria-pressed", at.isPicked ? "true" : "false");
    this.state(entry, at.now, at.isLive);
    this.progress(entry.job, at.now);
    say(this.ears, grouped(entry.listeners));
    say(this.many, grouped(entry.messages));
    const isBrisk = at.isLive && entry.pace && entry.pace.rate >= 0.5 && performance.now() - entry.pace.at < 3000;
    say(this.pace, isBrisk ? `${rounded(Number(entry.pace.rate.toPrecision(2)))}/s` : "");
    const latest = entry.latest;
    say(this.when, latest > 0 ? age(at.now - latest) : "–");
  }

  state(entry, now, isLive) {
    const { job } = entry;
    this.badge.set(entry.word);
    const elapsed = job?.elapsed(now);
    let since = elapsed != null ? words(elapsed) : "";
    if (job?.ending) since = job.endedAgo(now);
    if (!isLive && entry.state !== "ended") since = "no news";
    say(this.since, since);
    say(this.title, job?.title && job.title !== entry.name ? inline(job.title, 200) : "");
    say(this.line, job?.ending?.what ? inline(job.ending.what, 300) : job?.line ?? "");
    mark(this.line, "data-level", job?.ending ? null : job?.level || null);
  }

  progress(job, now) {
    const share = job?.share ?? null;
    say(this.percent, share == null ? "" : `${Math.floor(share * 100)}%`);
    say(this.count, job && !job.isPercentage ? job.count : "");
    show(this.bar, share != null);
    if (share != null) this.fill.style.width = `${(share * 100).toFixed(1)}%`;
    mark(this.bar, "data-state", job?.ending ? job.ending.how : "running");
    say(this.rate, job?.rate(now) ?? "");
    const left = job?.left(now);
    say(this.left, left == null ? "" : `${words(left)} left`);
  }
}
