// What is around every view: the name, how the connection stands, light and dark, help.

import { el, mark, say, show } from "./dom.js";
import { help } from "./keys.js";
import { TokenPanel } from "./panels.js";
import { grouped } from "./words.js";

/** With more messages than this that have come and are not read yet, what is shown is not how it stands. */
const BEHIND = 1000;
const THEME = "msgstream.theme";

export class Frame {
  /** `app` has `retry()`, `given(token)`. */
  constructor(app) {
    this.state = el("span", { class: "word" });
    this.retry = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => app.retry() }, "Try now");
    this.connection = el("div", { class: "connection", role: "status" }, el("span", { class: "dot", "aria-hidden": "true" }), this.state);
    this.theme = el("button", { type: "button", class: "quiet", "aria-keyshortcuts": "t", title: "Light or dark (t)", onclick: () => this.turnTheme() });
    this.help = help();
    const keys = el("button", { type: "button", class: "quiet", "aria-keyshortcuts": "?", title: "All keys (?)", onclick: () => this.help.showModal() }, "Keys");
    this.token = new TokenPanel((token) => app.given(token));
    this.banner = el("p", { class: "banner", hidden: true });
    this.spoken = el("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.element = el("header", { class: "frame" }, el("a", { class: "brand", href: "#" }, "msgstream"), this.connection, this.retry, el("span", { class: "gap" }), this.theme, keys);
    this.others = [this.banner, this.help, this.token.dialog, this.spoken];
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.paint());
    this.chosen = stored();
    this.paint();
  }

  /** How the connection of what is shown stands. */
  update(wire) {
    const seconds = Math.max(1, Math.ceil((wire.retryAt - performance.now()) / 1000));
    const words = { connecting: wire.attempt > 0 ? "Connecting again…" : "Connecting…", live: "Live", away: `No connection · next attempt in ${seconds} s`, refused: "Not let in", closed: "" };
    const isBehind = wire.state === "live" && wire.behind > BEHIND;
    say(this.state, isBehind ? `Live · ${grouped(wire.behind)} messages behind` : words[wire.state]);
    mark(this.connection, "data-state", wire.state);
    show(this.retry, wire.state === "away");
    const isAway = wire.attempt > 0 && wire.state !== "live" && wire.state !== "refused";
    show(this.banner, isAway);
    if (isAway) say(this.banner, `${wire.reason ? `The broker says: ${wire.reason}. ` : "The broker does not answer. "}What you see is how it stood; the page goes on by itself once the broker is there.`);
    if (this.wasState === "away" && wire.state === "live") this.announce("Connected again");
    this.wasState = wire.state === "connecting" ? this.wasState : wire.state;
    this.token.update(wire.state === "refused", wire.reason);
  }

  /** Says it to who cannot see it. */
  announce(text) {
    say(this.spoken, text);
  }

  turnTheme() {
    const next = document.documentElement.dataset.shown === "dark" ? "light" : "dark";
    this.chosen = next === (this.dark.matches ? "dark" : "light") ? null : next;
    try {
      if (this.chosen) localStorage.setItem(THEME, this.chosen);
      else localStorage.removeItem(THEME);
    } catch {
      // Then it holds for this page alone.
    }
    this.paint();
  }

  paint() {
    const root = document.documentElement;
    root.dataset.shown = this.chosen ?? (this.dark.matches ? "dark" : "light");
    say(this.theme, root.dataset.shown === "dark" ? "Light" : "Dark");
    dispatchEvent(new Event("themed"));
  }
}

function stored() {
  try {
    const theme = localStorage.getItem(THEME);
    return theme === "light" || theme === "dark" ? theme : null;
  } catch {
    return null;
  }
}
