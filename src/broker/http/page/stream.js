// The view of one stream, or of several laid over each other: facts, plots and the tail.

import * as clock from "./clock.js";
import { MOST_STREAMS, write } from "./address.js";
import { el, mark, show } from "./dom.js";
import { Facts } from "./facts.js";
import { Follow } from "./follow.js";
import { Plots } from "./plots.js";
import { Tail } from "./tail.js";
import { inline } from "./words.js";

export class StreamView {
  /** `app` has `view`, `go(view)`, `url`, `token()`, `watching` and `changed()`. */
  constructor(app, names) {
    this.app = app;
    this.names = names;
    this.follow = new Follow(app.url, () => app.token(), names, () => this.soon());
    this.facts = names.map((name, index) => new Facts(name, index, () => this.leave(name)));
    this.plots = new Plots(app);
    this.tail = new Tail(app);
    this.back = el("a", { class: "back", href: "#", "aria-keyshortcuts": "u" }, "← All streams");
    this.suggested = el("datalist", { id: "names" });
    this.other = el("input", { type: "text", list: "names", placeholder: "Compare with…", "aria-label": "Name of a stream to compare with", "aria-keyshortcuts": "a", spellcheck: "false", autocapitalize: "off", onfocus: () => this.suggest() });
    this.adding = el("form", { class: "adding", onsubmit: (event) => { event.preventDefault(); this.add(this.other.value); } }, this.other, this.suggested);
    this.copied = el("button", { type: "button", class: "quiet", "aria-keyshortcuts": "y", title: "Copy the address of this view (y)", onclick: () => this.copy() }, "Copy link");
    this.element = el("main", { class: "stream", id: "main", "data-count": names.length },
      el("nav", { class: "tools", "aria-label": "View" }, this.back, this.adding, this.copied),
      el("div", { class: "all-facts" }, ...this.facts.map((facts) => facts.element)),
      el("div", { class: "halves" }, this.plots.element, this.tail.element));
    this.ticking = setInterval(() => this.soon(), 500);
  }

  /** Something has come: it is shown with the next frame. */
  soon() {
    if (this.isDue || this.isClosed) return;
    this.isDue = true;
    const draw = () => {
      this.isDue = false;
      if (!this.isClosed) this.update();
    };
    if (document.hidden) setTimeout(draw, 500);
    else requestAnimationFrame(draw);
  }

  update() {
    const { view } = this.app;
    const { streams, wire } = this.follow;
    const now = clock.now();
    const isLive = wire.state === "live";
    streams.forEach((stream, index) => this.facts[index].update(stream, { now, isLive, isOne: streams.length === 1, view }));
    this.element.classList.toggle("plain", !streams.some(({ run }) => run.curves.size > 0 || [...run.series.values()].some((series) => series.value.length >= 2)));
    this.plots.update(streams);
    this.tail.update(this.follow.lines, this.names);
    mark(this.back, "href", write({ ...view, streams: [] }));
    show(this.adding, this.names.length < MOST_STREAMS);
    this.app.changed();
  }

  /** What the title of the window says. */
  get title() {
    const [first] = this.follow.streams;
    const share = first.job.share;
    const how = first.job.ending ? first.job.ending.how : share == null ? "" : `${Math.floor(share * 100)}%`;
    return `${this.names.length > 1 ? `${this.names.length} streams` : [how, inline(first.name, 60)].filter(Boolean).join(" ")} · msgstream`;
  }

  suggest() {
    const names = [...this.app.watching.directory.entries.keys()].filter((name) => !this.names.includes(name)).slice(0, 200);
    this.suggested.replaceChildren(...names.map((value) => el("option", { value })));
  }

  add(name) {
    if (name !== "" && !this.names.includes(name)) this.app.go({ ...this.app.view, streams: [...this.names, name] });
  }

  leave(name) {
    this.app.go({ ...this.app.view, streams: this.names.filter((each) => each !== name) });
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.app.announce("The address of this view is copied");
      this.copied.textContent = "Copied";
    } catch {
      // Without a secure origin there is no clipboard: the address bar has it.
      this.copied.textContent = "The address bar has it";
    }
    setTimeout(() => { this.copied.textContent = "Copy link"; }, 1500);
  }

  close() {
    this.isClosed = true;
    clearInterval(this.ticking);
    this.follow.close();
    this.plots.close();
    this.tail.close();
    this.element.remove();
  }
}
