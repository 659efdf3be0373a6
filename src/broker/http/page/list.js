// The list of all streams: search, filters, order, and only as many rows as are seen.

import * as clock from "./clock.js";
import { el, mark, say, show } from "./dom.js";
import { FILTERS, SORTS, arranged, ranked, tally } from "./order.js";
import { COLUMNS, Row } from "./row.js";
import { inView, scrolledTo } from "./rows.js";
import { counted, grouped } from "./words.js";
import { MOST_STREAMS } from "./address.js";
import { MOST_STREAMS as MOST_KEPT } from "./directory.js";
import { DeniedPanel, EmptyPanel } from "./panels.js";

const CHIPS = [["all", "All"], ["running", "Running"], ["waiting", "Waiting"], ["trouble", "Trouble"], ["done", "Done"]];
const NARROW = "(max-width: 760px)";

export class List {
  /** `app` has `view`, `go(view)`, `watching` and `narrow(prefix)`. */
  constructor(app) {
    this.app = app;
    this.rows = [];
    this.shown = [];
    this.current = -1;
    this.currentName = null;
    this.picked = new Set();
    this.narrow = matchMedia(NARROW);
    this.narrow.addEventListener("change", () => this.draw());
    this.build();
    addEventListener("resize", () => this.draw());
  }

  build() {
    const typed = (field) => () => this.app.go({ ...this.app.view, [field]: this[field].value }, true);
    this.search = el("input", { type: "search", placeholder: "Search names and titles", "aria-label": "Search names and titles", "aria-keyshortcuts": "/", oninput: typed("search") });
    this.prefix = el("input", { type: "text", class: "prefix", placeholder: "Begins with…", "aria-label": "Only names that begin with", spellcheck: "false", autocapitalize: "off", oninput: typed("prefix") });
    this.chips = CHIPS.map(([state, word]) => {
      const count = el("span", { class: "number" });
      const chip = el("button", { type: "button", class: "chip", onclick: () => this.app.go({ ...this.app.view, state }) }, word, count);
      return { state, chip, count };
    });
    this.sort = el("select", { "aria-label": "Sort by", onchange: () => this.app.go({ ...this.app.view, sort: this.sort.value, isReversed: false }) },
      ...Object.entries(SORTS).map(([value, word]) => el("option", { value }, `Sort: ${word}`)));
    this.compare = el("button", { type: "button", class: "primary", onclick: () => this.open([...this.picked]) });
    this.heads = COLUMNS.map(([name, heading, sort, title]) => {
      const inner = sort ? el("button", { type: "button", tabindex: -1, title, onclick: () => this.sortBy(sort) }, heading) : heading ? el("span", {}, heading) : el("span", { class: "unseen" }, "Compare");
      return { sort, cell: el("div", { class: name, role: "columnheader" }, inner) };
    });
    this.body = el("div", { class: "rows", role: "rowgroup" });
    this.grid = el("div", { class: "grid", role: "grid", tabindex: 0, "aria-label": "Streams", "aria-multiselectable": "true" },
      el("div", { role: "rowgroup", class: "heads" }, el("div", { class: "row head", role: "row", "aria-rowindex": 1 }, ...this.heads.map((head) => head.cell))), this.body);
    this.grid.addEventListener("scroll", () => this.soon(), { passive: true });
    this.body.addEventListener("click", (event) => this.clicked(event));
    this.note = el("p", { class: "foot", role: "status" });
    this.empty = new EmptyPanel();
    this.denied = new DeniedPanel(this.app);
    this.element = el("main", { class: "list", id: "main" },
      el("h1", { class: "unseen" }, "Streams"),
      el("div", { class: "tools" }, this.search, this.prefix, el("div", { class: "chips", role: "group", "aria-label": "Filter by state" }, ...this.chips.map((each) => each.chip)), this.sort, this.compare),
      this.denied.element, this.empty.element, this.grid, this.note);
  }

  get height() {
    return this.narrow.matches ? 108 : 56;
  }

  /** Takes what the directory says by now, and shows it. The order is made anew only when something has changed. */
  update() {
    const { view, watching } = this.app;
    const { directory } = watching;
    const key = `${directory.changes} ${view.search}\n${view.prefix}\n${view.state} ${view.sort} ${view.isReversed}`;
    if (key !== this.key) {
      this.key = key;
      if (this.births !== directory.births) ranked(directory.entries.values());
      this.births = directory.births;
      this.counts = tally(directory.entries.values(), view);
      this.shown = arranged(directory.entries.values(), view);
      this.place();
    }
    this.toolbar();
    this.draw();
  }

  /** The row that the keyboard is at stays with its stream, wherever that has gone. */
  place() {
    if (this.currentName == null) return;
    if (this.shown[this.current]?.name !== this.currentName) this.current = this.shown.findIndex((entry) => entry.name === this.currentName);
  }

  toolbar() {
    const { view, watching } = this.app;
    if (document.activeElement !== this.search && this.search.value !== view.search) this.search.value = view.search;
    if (document.activeElement !== this.prefix && this.prefix.value !== view.prefix) this.prefix.value = view.prefix;
    if (this.sort.value !== view.sort && view.sort in SORTS) this.sort.value = view.sort;
    for (const { state, chip, count } of this.chips) {
      mark(chip, "aria-pressed", view.state === state ? "true" : "false");
      mark(chip, "data-some", state === "trouble" && this.counts.trouble > 0);
      say(count, grouped(state === "done" ? this.counts.done + this.counts.ended : this.counts[state] ?? 0));
    }
    for (const { sort, cell } of this.heads) if (sort) mark(cell, "aria-sort", view.sort !== sort ? "none" : view.isReversed ? "descending" : "ascending");
    const picked = this.picked.size;
    show(this.compare, picked > 0);
    say(this.compare, picked === 1 ? "Open" : `Compare ${picked}`);
    const { directory, denied } = watching;
    const count = directory.entries.size;
    this.denied.update(denied, view.prefix);
    this.empty.update({ isShown: !denied && directory.isWhole && this.shown.length === 0, isBare: count === 0, view });
    show(this.grid, this.shown.length > 0);
    const parts = [];
    if (this.shown.length > 0 && this.shown.length < count) parts.push(`${grouped(this.shown.length)} of ${counted(count, "stream")}`);
    else if (count > 0) parts.push(counted(count, "stream"));
    if (directory.left > 0) parts.push(`the page keeps ${grouped(MOST_KEPT)}: narrow them by a prefix`);
    if (watching.unknown.size > 0 && watching.read > 0 && watching.looked.size === 0) parts.push(`how ${grouped(watching.unknown.size)} have ended has not been looked up`);
    if (watching.notes.length > 0) parts.push(watching.notes.at(-1));
    say(this.note, parts.join(" · "));
    mark(this.grid, "aria-rowcount", this.shown.length + 1);
  }

  soon() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  /** Draws the rows in view, with elements that are used again. */
  draw() {
    if (!this.element.isConnected) return;
    const { height, shown } = this;
    const { view, watching } = this.app;
    const { first, end } = inView(this.grid.scrollTop, this.grid.clientHeight, height, shown.length);
    const total = `${shown.length * height}px`;
    if (this.body.style.height !== total) this.body.style.height = total;
    const isLive = watching.wire.state === "live";
    const now = clock.now();
    const count = end - first;
    while (this.rows.length < count) {
      const row = new Row((name) => this.pickOrNot(name));
      this.rows.push(row);
      this.body.append(row.element);
    }
    // A row keeps its place among the elements as long as it is in view.
    const places = this.rows.length;
    for (let index = first; index < first + places; index += 1) {
      const row = this.rows[index % places];
      show(row.element, index < end);
      if (index >= end) {
        mark(row.element, "id", null);
        row.y = null;
        continue;
      }
      const entry = shown[index];
      row.fillWith(entry, { index, height, isCurrent: index === this.current, isPicked: this.picked.has(entry.name), now, isLive, view });
    }
    mark(this.grid, "aria-activedescendant", this.current >= first && this.current < end ? `row-${this.current}` : null);
    watching.want(shown.slice(first, end).map((entry) => entry.name));
  }

  clicked(event) {
    const row = event.target.closest(".row");
    const at = row && this.rows.find((each) => each.element === row);
    if (!at) return;
    this.currentName = at.entry.name;
    this.place();
    // A click on the name is a link: it may be opened in another tab.
    if (!event.target.closest("a") && !getSelection()?.toString()) this.open([at.entry.name]);
  }

  pickOrNot(name) {
    if (!this.picked.delete(name) && this.picked.size < MOST_STREAMS) this.picked.add(name);
    this.update();
  }

  open(names) {
    if (names.length > 0) this.app.go({ ...this.app.view, streams: names });
    this.picked.clear();
  }

  sortBy(sort) {
    const { view } = this.app;
    this.app.go({ ...view, sort, isReversed: view.sort === sort && !view.isReversed });
  }

  /** Moves the row of the keyboard; far beyond the ends is the first or the last. */
  move(by) {
    const last = this.shown.length - 1;
    if (last < 0) return;
    this.current = Math.min(last, Math.max(0, this.current < 0 && by > 0 ? by - 1 : this.current + by));
    this.currentName = this.shown[this.current].name;
    const head = this.narrow.matches ? 0 : 34;
    const top = scrolledTo(this.current, this.grid.scrollTop, this.grid.clientHeight - head, this.height);
    if (top != null) this.grid.scrollTop = top;
    this.grid.focus({ preventScroll: true });
    this.draw();
  }

  get page() {
    return Math.max(1, Math.floor(this.grid.clientHeight / this.height) - 2);
  }

  filter(index) {
    const chip = CHIPS[index];
    if (chip && chip[0] in FILTERS) this.app.go({ ...this.app.view, state: chip[0] });
  }
}
