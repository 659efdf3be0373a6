// All keys, and the overlay that tells them.

import { nextAxis } from "./along.js";
import { el } from "./dom.js";

/** The keys of the list: [keys, what they do, how]. */
const LIST = [
  [["j", "ArrowDown"], "next stream", (app) => app.list.move(1)],
  [["k", "ArrowUp"], "stream before", (app) => app.list.move(-1)],
  [["PageDown"], "a page on", (app) => app.list.move(app.list.page)],
  [["PageUp"], "a page back", (app) => app.list.move(-app.list.page)],
  [["g", "Home"], "first", (app) => app.list.move(-1e9)],
  [["G", "End"], "last", (app) => app.list.move(1e9)],
  [["Enter", "o"], "open the stream, or compare those that are picked", (app) => app.list.open(app.list.picked.size > 0 ? [...app.list.picked] : app.list.currentName == null ? [] : [app.list.currentName])],
  [["x"], "pick the stream, to compare", (app) => app.list.currentName != null && app.list.pickOrNot(app.list.currentName)],
  [["/"], "search", (app) => app.list.search.focus()],
  [["p"], "only names that begin with", (app) => app.list.prefix.focus()],
  [["1", "2", "3", "4", "5"], "all, running, waiting, trouble, done", (app, key) => app.list.filter(Number(key) - 1)],
  [["s"], "sort by the next column", (app) => app.sortOn()],
  [["r"], "the other way round", (app) => app.go({ ...app.view, isReversed: !app.view.isReversed })],
  [["Escape"], "clear search and filters", (app) => app.go({ ...app.view, search: "", prefix: "", state: "all" })],
];

const STREAM = [
  [["u", "Escape"], "back to all streams", (app) => app.go({ ...app.view, streams: [] })],
  [[" "], "stop the messages, or go on", (app) => app.stream.tail.stop()],
  [["/"], "search the messages", (app) => app.stream.tail.find.focus()],
  [["l"], "logarithmic upwards", (app) => app.go({ ...app.view, isLogY: !app.view.isLogY }, true)],
  [["L"], "logarithmic along", (app) => app.go({ ...app.view, isLogX: !app.view.isLogX }, true)],
  [["m"], "against steps, messages, time", (app) => app.go({ ...app.view, axis: nextAxis(app.view.axis) }, true)],
  [["+", "="], "zoom in", (app) => app.stream.plots.zoom(0.5)],
  [["-"], "zoom out", (app) => app.stream.plots.zoom(2)],
  [["0"], "the whole range", (app) => app.stream.plots.reset()],
  [["a"], "compare with another stream", (app) => app.stream.other.focus()],
  [["]"], "next stream of the list", (app) => app.neighbour(1)],
  [["["], "stream before it", (app) => app.neighbour(-1)],
  [["y"], "copy the address of this view", (app) => app.stream.copy()],
];

const ALL = [
  [["t"], "light or dark", (app) => app.frame.turnTheme()],
  [["R"], "connect again at once", (app) => app.retry()],
  [["?"], "these keys", (app) => app.frame.help.open ? app.frame.help.close() : app.frame.help.showModal()],
];

const NAMES = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", PageDown: "Page ↓", PageUp: "Page ↑" };

/** Does what a key is for. */
export function pressed(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const { target, key } = event;
  const isTyping = target instanceof HTMLElement && target.matches("input, select, textarea");
  if (isTyping) {
    if (key === "Escape" || (key === "Enter" && target.type === "search")) {
      event.preventDefault();
      target.blur();
      if (key === "Enter") (app.stream?.tail.room ?? app.list.grid).focus();
    }
    return;
  }
  if (document.querySelector("dialog[open]") && key !== "?") return;
  // A button or a link has its own use of these.
  if ((key === "Enter" || key === " ") && target instanceof HTMLElement && target.matches("button, a, summary")) return;
  const found = [...(app.stream ? STREAM : LIST), ...ALL].find(([keys]) => keys.includes(key));
  if (!found) return;
  event.preventDefault();
  found[2](app, key);
}

/** The overlay that tells all keys. */
export function help() {
  const section = (heading, keys) => el("section", {}, el("h3", {}, heading), el("dl", {}, ...keys.map(([names, what]) => el("div", {},
    el("dt", {}, ...names.filter((name) => name !== "=").flatMap((name) => [el("kbd", {}, NAMES[name] ?? name), " "])), el("dd", {}, what)))));
  const close = el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close");
  const dialog = el("dialog", { class: "help", "aria-labelledby": "help-title" }, el("header", {}, el("h2", { id: "help-title" }, "Keys"), close),
    el("div", { class: "columns" }, section("The list", LIST), section("A stream", STREAM), section("Everywhere", ALL),
      section("Messages and plots, once you are at them", [[["ArrowUp", "ArrowDown"], "look at a message whole"], [["ArrowLeft", "ArrowRight"], "move along the plot"]])));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
