// The live tail: the last lines of the streams of a view, which can be stopped and searched. Only the lines in view are drawn.

import { el, mark, say, show } from "./dom.js";
import { LONGEST, MOST_LINES } from "./lines.js";
import { inView, scrolledTo } from "./rows.js";
import { counted, grouped, inline, size } from "./words.js";

const HEIGHT = 22;
const LEVEL_WORDS = { all: "everything", lines: "without progress", warnings: "warnings and errors", errors: "errors" };

export class Tail {
  /** `app` has `view` and `go(view)`. */
  constructor(app) {
    this.app = app;
    this.rows = [];
    this.shown = [];
    this.until = Infinity;
    this.isAtEnd = true;
    this.current = null;
    this.find = el("input", { type: "search", placeholder: "Search the messages", "aria-label": "Search the messages", "aria-keyshortcuts": "/", oninput: () => app.go({ ...app.view, find: this.find.value }, true) });
    this.level = el("select", { "aria-label": "Which messages", onchange: () => app.go({ ...app.view, level: this.level.value }, true) }, ...Object.entries(LEVEL_WORDS).map(([value, word]) => el("option", { value }, word)));
    this.pause = el("button", { type: "button", class: "toggle", "aria-keyshortcuts": "Space", title: "Stop the tail, or go on (Space)", onclick: () => this.stop() });
    this.count = el("span", { class: "counted", role: "status" });
    this.body = el("div", { class: "lines" });
    this.room = el("div", { class: "scroller", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Messages" }, this.body);
    this.room.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.room.addEventListener("keydown", (event) => this.pressed(event));
    this.body.addEventListener("click", (event) => this.clicked(event));
    this.empty = el("p", { class: "nothing" });
    this.whole = el("pre", { tabindex: 0, "aria-label": "The whole message" });
    this.about = el("span", { class: "counted" });
    this.detail = el("div", { class: "detail", hidden: true }, el("div", { class: "tools" }, this.about, el("button", { type: "button", class: "quiet", onclick: () => this.look(null) }, "Close")), this.whole);
    this.element = el("section", { class: "tail", "aria-label": "Messages" },
      el("div", { class: "tools" }, el("h2", {}, "Messages"), this.pause, this.find, this.level, this.count), this.empty, this.room, this.detail);
    this.sizing = new ResizeObserver(() => this.draw());
    this.sizing.observe(this.room);
  }

  /** Shows the lines; `streams` are the names, of which each has the colour of its number. */
  update(lines, streams) {
    this.lines = lines;
    this.streams = streams;
    const { view } = this.app;
    if (document.activeElement !== this.find && this.find.value !== view.find) this.find.value = view.find;
    if (this.level.value !== view.level && view.level in LEVEL_WORDS) this.level.value = view.level;
    const isStill = this.until !== Infinity;
    const key = `${isStill ? this.until : lines.count} ${view.find}\n${view.level}`;
    if (key !== this.key) {
      // What stands still keeps the lines that it has, also those that are dropped meanwhile.
      const isAnew = !isStill || this.sought !== `${view.find}\n${view.level}`;
      if (isAnew) this.shown = lines.found({ find: view.find, level: view.level, until: this.until });
      this.sought = `${view.find}\n${view.level}`;
      this.key = key;
      this.body.style.height = `${this.shown.length * HEIGHT}px`;
      if (this.isAtEnd && !isStill) this.toEnd();
    }
    this.tell(isStill);
    this.draw();
  }

  tell(isStill) {
    const { view } = this.app;
    say(this.pause, isStill ? "Go on" : "Pause");
    mark(this.pause, "aria-pressed", isStill ? "true" : "false");
    const isSought = view.find !== "" || view.level !== "all";
    const parts = [isSought ? `${grouped(this.shown.length)} of ${counted(this.lines.count - this.lines.dropped, "line")}` : counted(this.shown.length, "line")];
    if (this.lines.dropped > 0) parts.push(`the last ${grouped(Math.min(MOST_LINES, this.lines.count - this.lines.dropped))} are kept`);
    if (isStill) parts.push(`${grouped(this.lines.count - this.until)} new`);
    say(this.count, parts.join(" · "));
    show(this.empty, this.shown.length === 0);
    say(this.empty, isSought && this.lines.count > 0 ? "No message fits." : "No messages yet. What the job says next appears here.");
  }

  toEnd() {
    this.room.scrollTop = this.shown.length * HEIGHT;
  }

  scrolled() {
    this.isAtEnd = this.room.scrollTop + this.room.clientHeight >= this.shown.length * HEIGHT - HEIGHT;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    if (!this.element.isConnected) return;
    const { first, end } = inView(this.room.scrollTop, this.room.clientHeight, HEIGHT, this.shown.length);
    while (this.rows.length < end - first) this.rows.push(this.made());
    const places = this.rows.length;
    for (let index = first; index < first + places; index += 1) {
      const row = this.rows[index % places];
      show(row.element, index < end);
      if (index < end) this.fill(row, this.shown[index], index);
    }
  }

  made() {
    const row = { at: el("time"), stream: el("span", { class: "stream", dir: "auto" }), tag: el("span", { class: "tag" }), text: el("span", { class: "text", dir: "auto" }) };
    row.element = el("div", { class: "line" }, row.at, row.stream, row.tag, row.text);
    this.body.append(row.element);
    return row;
  }

  fill(row, line, index) {
    row.element.style.transform = `translateY(${index * HEIGHT}px)`;
    row.index = index;
    row.element.classList.toggle("current", line === this.current);
    if (row.line === line) return;
    row.line = line;
    say(row.at, line.at == null ? "before" : stamp(line.at));
    const isOne = this.streams.length === 1;
    show(row.stream, !isOne);
    say(row.stream, isOne ? "" : inline(line.stream, 60));
    mark(row.stream, "data-colour", isOne ? null : Math.max(0, this.streams.indexOf(line.stream)) % 8);
    say(row.tag, line.kind === "log" ? line.tag || "" : line.kind === "other" || line.kind === "notice" || line.kind === "end" ? "" : line.kind);
    say(row.text, inline(line.text, 400));
    mark(row.element, "data-level", line.level || null);
    mark(row.element, "data-kind", line.kind);
  }

  /** Stops the tail or lets it go on. */
  stop() {
    this.until = this.until === Infinity ? this.lines.count : Infinity;
    this.isAtEnd = this.until === Infinity;
    this.update(this.lines, this.streams);
    if (this.isAtEnd) this.toEnd();
  }

  clicked(event) {
    const row = this.rows.find((each) => each.element === event.target.closest(".line"));
    if (row && !getSelection()?.toString()) this.look(row.line === this.current ? null : row.line);
  }

  pressed(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (event.key === "Escape" && this.current) {
      event.stopPropagation();
      this.look(null);
    } else if (by) {
      event.preventDefault();
      event.stopPropagation();
      if (this.until === Infinity) this.stop();
      const at = this.current ? this.shown.indexOf(this.current) : this.shown.length;
      const next = Math.min(this.shown.length - 1, Math.max(0, at + by));
      this.look(this.shown[next] ?? null);
      const top = scrolledTo(next, this.room.scrollTop, this.room.clientHeight, HEIGHT);
      if (top != null) this.room.scrollTop = top;
    }
  }

  /** Shows a message whole, or none. */
  look(line) {
    this.current = line;
    show(this.detail, line != null);
    if (line) {
      say(this.about, `${inline(line.stream, 100)} · ${size(line.length)}${line.length > LONGEST ? `, of which the first ${size(LONGEST)}` : ""}`);
      say(this.whole, line.length <= LONGEST ? pretty(line.raw) : line.raw);
    }
    this.draw();
  }

  close() {
    this.sizing.disconnect();
  }
}

/** The time of day at which the page heard it. */
function stamp(at) {
  const time = new Date(at);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** As it was sent, where laying it out would change a number; what is nested too deeply stays as it is. */
function pretty(raw) {
  try {
    const value = JSON.parse(raw);
    if (typeof value === "string") return value;
    const laidOut = JSON.stringify(value, null, 2);
    return laidOut.length < 4 * LONGEST && JSON.stringify(value).length === raw.replace(/\s/g, "").length ? laidOut : raw;
  } catch {
    return raw;
  }
}
