// The page: which view is shown, by the address, and what its parts have in common.

import * as address from "./address.js";
import * as clock from "./clock.js";
import { mark } from "./dom.js";
import { Frame } from "./frame.js";
import { pressed } from "./keys.js";
import { List } from "./list.js";
import { SORTS } from "./order.js";
import { StreamView } from "./stream.js";
import { grouped } from "./words.js";
import { Watching } from "./watching.js";

const TOKEN = "msgstream.token";
/** Beyond so many streams the list is put in order less often. */
const MANY = 3000;

class App {
  constructor() {
    this.url = new URL("ws", document.baseURI);
    this.url.protocol = this.url.protocol === "https:" ? "wss:" : "ws:";
    this.url.hash = "";
    this.view = address.read(location.hash);
    this.stream = null;
    this.askTime();
    this.frame = new Frame(this);
    document.body.prepend(this.frame.element, ...this.frame.others);
    this.watching = new Watching(this.url, () => this.token(), () => this.soon());
    this.list = new List(this);
    this.place = document.getElementById("place");
    this.route();
    addEventListener("hashchange", () => this.read());
    addEventListener("keydown", (event) => pressed(this, event));
    addEventListener("themed", () => this.stream?.update());
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => !document.hidden && this.retry());
    setInterval(() => this.tick(), 1000);
  }

  askTime() {
    clock.ask(new URL("page/style.css", document.baseURI));
  }

  /** Each second: times go on, and whoever has slept finds out what has become of its connections and its clock. */
  tick() {
    if (clock.hasJumped()) for (const wire of this.wires) wire.doubt();
    if (this.wires.some((wire) => wire.state === "live")) this.askTime();
    this.soon();
  }

  /** Goes to a view. What is typed and turned on the way leaves no trace in the history. */
  go(view, isOnTheWay = false) {
    // What part of the axes is looked at is of one axis, and of one job and those that are compared with it.
    if (view.axis !== this.view.axis || (view.range === this.view.range && view.streams[0] !== this.view.streams[0])) view = { ...view, range: null, curveRange: null };
    const next = address.write(view);
    if (next === address.write(this.view)) return;
    history[isOnTheWay ? "replaceState" : "pushState"](null, "", next);
    this.read(view);
  }

  read(view = address.read(location.hash)) {
    this.view = view;
    this.route();
  }

  route() {
    const { streams } = this.view;
    if (this.stream && this.stream.names.join("\n") !== streams.join("\n")) {
      this.stream.close();
      this.stream = null;
    }
    if (streams.length > 0) {
      this.list.element.remove();
      this.watching.want([]);
      if (!this.stream) {
        this.stream = new StreamView(this, streams);
        this.place.replaceChildren(this.stream.element);
        scrollTo(0, 0);
      }
      this.stream.update();
    } else if (!this.list.element.isConnected) {
      this.place.replaceChildren(this.list.element);
      if (this.list.current >= 0) this.list.move(0);
    }
    this.narrow();
    this.update();
  }

  /** Where the whole directory is denied, that of the prefix may not be. */
  narrow() {
    const { watching } = this;
    if (watching.denied && this.view.prefix !== watching.prefix && this.view.prefix !== "") watching.narrow(this.view.prefix);
  }

  soon() {
    if (this.due) return;
    const pause = this.watching?.directory.entries.size > MANY ? 500 : 100;
    const wait = document.hidden ? 1000 : Math.max(0, (this.updatedAt ?? 0) + pause - performance.now());
    this.due = setTimeout(() => {
      this.due = null;
      this.update();
    }, wait);
  }

  update() {
    this.updatedAt = performance.now();
    if (this.watching.denied) this.narrow();
    if (!this.stream) this.list.update();
    this.changed();
  }

  /** The frame and the title of the window follow what is shown. */
  changed() {
    this.frame.update(this.stream ? this.stream.follow.wire : this.watching.wire);
    const running = this.list.counts?.running ?? 0;
    const title = this.stream ? this.stream.title : `${running > 0 ? `${grouped(running)} running · ` : ""}msgstream`;
    if (document.title !== title) document.title = title;
    mark(document.body, "data-view", this.stream ? "stream" : "list");
  }

  announce(text) {
    this.frame.announce(text);
  }

  get wires() {
    return [this.watching.wire, ...(this.stream ? [this.stream.follow.wire] : [])];
  }

  /** Who waits for the next attempt waits no longer. */
  retry() {
    for (const wire of this.wires) if (wire.state === "away") wire.begin();
  }

  /** The token of this tab, or null. */
  token() {
    try {
      return sessionStorage.getItem(TOKEN);
    } catch {
      return this.kept ?? null;
    }
  }

  given(token) {
    try {
      sessionStorage.setItem(TOKEN, token);
    } catch {
      this.kept = token;
    }
    for (const wire of this.wires) if (wire.state !== "live") wire.begin();
  }

  sortOn() {
    const sorts = Object.keys(SORTS);
    this.go({ ...this.view, sort: sorts[(sorts.indexOf(this.view.sort) + 1) % sorts.length], isReversed: false }, true);
  }

  /** The stream beside this one in the list. */
  neighbour(by) {
    this.list.update();
    const { shown } = this.list;
    const at = shown.findIndex((entry) => entry.name === this.view.streams[0]);
    const next = shown[at + by];
    if (next) this.go({ ...this.view, streams: [next.name] });
  }
}

new App();
