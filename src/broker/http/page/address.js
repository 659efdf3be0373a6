// The view as the part of the address behind `#`, so that a copy of the address is a copy of the view. Knows no document.

import { AXES, rangeOf } from "./along.js";

/** What a view is when nothing else is said. */
export const LIST = { streams: [], prefix: "", search: "", state: "all", sort: "standing", isReversed: false };
export const PLOT = { axis: "step", isLogX: false, isLogY: false, only: [], range: null, curveRange: null, find: "", level: "all" };

/** More streams than this are not laid over each other. */
export const MOST_STREAMS = 8;
const LONGEST = 2000;

/** The view of an address: the fields of LIST and PLOT. What cannot be read is left out. */
export function read(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const text = (key, otherwise) => (given.get(key) ?? otherwise).slice(0, LONGEST);
  const streams = [...new Set(given.getAll("stream").filter((name) => name !== "" && name.length <= LONGEST))].slice(0, MOST_STREAMS);
  return {
    streams,
    prefix: text("prefix", LIST.prefix), search: text("search", LIST.search), state: text("state", LIST.state),
    sort: text("sort", LIST.sort), isReversed: given.get("reversed") === "1",
    axis: Object.hasOwn(AXES, given.get("x") ?? "") ? given.get("x") : PLOT.axis, isLogX: given.get("logx") === "1", isLogY: given.get("logy") === "1",
    only: given.getAll("plot").slice(0, 64).map((name) => name.slice(0, LONGEST)), range: rangeOf(given.get("range")), curveRange: rangeOf(given.get("curverange")),
    find: text("find", PLOT.find), level: text("level", PLOT.level),
  };
}

/** The address of a view, without what goes without saying. */
export function write(view) {
  const out = [];
  const say = (key, value, otherwise) => value !== otherwise && out.push(`${key}=${encoded(value)}`);
  for (const name of view.streams) say("stream", name, null);
  say("prefix", view.prefix, LIST.prefix);
  say("search", view.search, LIST.search);
  say("state", view.state, LIST.state);
  say("sort", view.sort, LIST.sort);
  if (view.isReversed) out.push("reversed=1");
  if (view.streams.length > 0) {
    say("x", view.axis, PLOT.axis);
    if (view.isLogX) out.push("logx=1");
    if (view.isLogY) out.push("logy=1");
    for (const name of view.only) say("plot", name, null);
    if (view.range) say("range", view.range.join(":"), null);
    if (view.curveRange) say("curverange", view.curveRange.join(":"), null);
    say("find", view.find, PLOT.find);
    say("level", view.level, PLOT.level);
  }
  return out.length > 0 ? `#${out.join("&")}` : "#";
}

/** Names are read more easily with their slashes and colons. Half a surrogate pair cannot be in an address. */
function encoded(value) {
  return encodeURIComponent(value.toWellFormed?.() ?? value).replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%20/g, "+");
}
