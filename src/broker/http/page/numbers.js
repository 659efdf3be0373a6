// Which numbers and curves a message holds. Whatever a message is, only so much of it is looked at. Knows no document and no stream.

import { isObject, finite } from "./message.js";
import { momentOf } from "./words.js";

/** Nothing beyond this many values of one message is looked at. */
export const MOST_VALUES = 2000;
/** Nor what is nested more deeply. */
export const DEEPEST = 6;
/** A curve with more points is thinned out. */
export const LONGEST_CURVE = 4000;

const STEPS = ["step", "global_step", "iteration", "iter", "k", "n", "epoch", "batch"];
// What has a place of its own, or says nothing over time.
const LEFT_OUT = new Set([...STEPS, "total", "total_steps", "steps", "max_steps", "epochs", "units", "unit", "pid", "exit", "ncols", "nrows", "initial", "unit_divisor", "unit_scale"]);
// When a message was made, and how long its job had been running then.
const TIMES = ["time", "timestamp", "ts", "_timestamp", "wall_time", "datetime"];
const ELAPSED = ["elapsed", "_runtime", "elapsed_seconds"];
const ABSCISSAE = new Set(["x", "t", "time", "q", "energy", "freq", "frequency", "wavelength", "tau", "xs"]);

/**
 * What a message that was read holds: {step, time, elapsed, values: [[name, number]], curves: [{name, x, y}], isCut}. `time` is seconds
 * since 1970, `elapsed` seconds since the job began, each null if the message does not tell. A number may be NaN, which is a break.
 */
export function numbersOf(message) {
  const found = { step: null, time: null, elapsed: null, values: [], curves: [], isCut: false, seen: 0 };
  const body = message.body;
  if (message.kind === "end" || message.kind === "start") return found;
  if (typeof body === "string") {
    fromText(body, found);
  } else if (typeof body === "number") {
    found.values.push(["value", body]);
  } else if (Array.isArray(body)) {
    curve("value", body, null, found);
  } else if (isObject(body)) {
    if (message.kind === "join") return found;
    found.time = first(body, TIMES, timeOfDay);
    found.elapsed = first(body, ELAPSED, (value) => (finite(value) != null && value >= 0 ? value : null));
    found.step = stepOf(body) ?? message.step?.k ?? null;
    visit(message.kind === "improvement" ? { improvement: body.value, ...few(body), value: undefined } : body, "", 1, found);
    const text = message.kind === "log" ? message.line : typeof body.text === "string" ? body.text : typeof body.postfix === "string" ? body.postfix : "";
    if (text) fromText(text, found);
  }
  return found;
}

function few(object) {
  const copy = {};
  let count = 0;
  for (const key in object) {
    if (++count > MOST_VALUES) break;
    copy[key] = object[key];
  }
  return copy;
}

/** How far the job is by this message, or null. */
export function stepOf(body) {
  for (const key of STEPS) {
    const value = finite(body[key]);
    if (value != null) return value;
  }
  return null;
}

function first(body, keys, read) {
  for (const key of keys) {
    const value = read(body[key]);
    if (value != null) return value;
  }
  return null;
}

/**
 * A time of day as messages carry it, in seconds since 1970, or null: ISO 8601, or a number that can be nothing else than seconds,
 * milliseconds, microseconds or nanoseconds since 1970. A `time` of 0.35 is how long something took.
 */
function timeOfDay(value) {
  if (typeof value === "string") return momentOf(value);
  if (finite(value) == null) return null;
  for (const scale of [1, 1e3, 1e6, 1e9]) if (value >= 1e9 * scale && value < 5e9 * scale) return value / scale;
  return null;
}

/** What has a place of its own among the values of a message. */
function isElsewhere(key, value) {
  return LEFT_OUT.has(key) || ELAPSED.includes(key) || (TIMES.includes(key) && timeOfDay(value) != null);
}

function visit(object, path, depth, found) {
  const arrays = [];
  for (const key in object) {
    if (++found.seen > MOST_VALUES) {
      found.isCut = true;
      return;
    }
    const value = object[key];
    const name = path ? `${path}.${key}` : key;
    if (typeof value === "number") {
      if (!(path === "" && isElsewhere(key, value)) && key !== ".version") found.values.push([name.slice(0, 80), value]);
    } else if (Array.isArray(value)) {
      arrays.push([key, name, value]);
    } else if (typeof value === "string") {
      // JSON has no number for these, and so they come as words.
      const word = wordOf(value);
      if (word != null && !(path === "" && isElsewhere(key, value))) found.values.push([name.slice(0, 80), word]);
    } else if (isObject(value)) {
      if (value[".class"] === "float") {
        found.values.push([name.slice(0, 80), wordOf(value[".state"]) ?? NaN]);
      } else if (depth < DEEPEST) {
        // What callbacks gather under `scalars` and typed objects under `.state` is what is meant.
        visit(value, key === "scalars" || key === ".state" ? path : name, depth + 1, found);
      } else {
        found.isCut = true;
      }
    }
  }
  const x = arrays.find(([key, , value]) => ABSCISSAE.has(key.toLowerCase()) && isNumeric(value))?.[2] ?? null;
  for (const [, name, value] of arrays) {
    if (value !== x) curve(name.slice(0, 80), value, x && x.length === value.length ? x : null, found);
  }
}

const WORD = /^\s*([-+]?)(nan|inf(?:inity)?)\s*$/i;

/** What `"NaN"`, `"-inf"` and the like mean, or null. */
function wordOf(text) {
  const match = typeof text === "string" && text.length < 20 && WORD.exec(text);
  if (!match) return null;
  return match[2].toLowerCase() === "nan" ? NaN : match[1] === "-" ? -Infinity : Infinity;
}

function isNumeric(array) {
  return array.length >= 2 && (typeof array[0] === "number" || array[0] === null);
}

/** An array of numbers, or of pairs of numbers, is a curve. */
function curve(name, array, abscissa, found) {
  if (array.length < 2 || found.curves.length >= 16) return;
  const first = array[0];
  const isPairs = Array.isArray(first) && first.length === 2 && typeof first[0] === "number";
  if (!isPairs && !isNumeric(array)) return;
  const stride = Math.max(1, Math.ceil(array.length / LONGEST_CURVE));
  const x = [];
  const y = [];
  for (let index = 0; index < array.length; index += stride) {
    const each = array[index];
    const [a, b] = isPairs ? (Array.isArray(each) ? each : [null, null]) : [abscissa ? abscissa[index] : index, each];
    if (finite(a) == null) continue;
    x.push(a);
    y.push(finite(b));
  }
  found.isCut ||= stride > 1;
  if (x.length >= 2) found.curves.push(sorted(name, x, y));
}

/** Plots need what stands along the axis to rise. */
function sorted(name, x, y) {
  let rises = true;
  for (let index = 1; index < x.length && rises; index += 1) rises = x[index] >= x[index - 1];
  if (rises) return { name, x, y };
  const order = x.map((_, index) => index).sort((a, b) => x[a] - x[b]);
  return { name, x: order.map((index) => x[index]), y: order.map((index) => y[index]) };
}

const NAMED = /([A-Za-z_][\w./-]{0,40})\s?[=:]\s?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN|NAN|inf|Inf|INF|[Ii]nfinity))(?![\w:.%/-])/g;
const SPACED = /^\s*([A-Za-z_][\w./-]{0,40})\s+([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*$/;

/** `loss=0.5, acc: 0.9`, or the whole text `loss 0.5, acc 0.9`. */
function fromText(text, found) {
  const start = text.slice(0, 1000);
  const values = [];
  for (const [, name, number] of start.matchAll(NAMED)) {
    if (values.length === 16) break;
    values.push([name, wordOf(number) ?? Number(number)]);
  }
  if (values.length === 0 && start.length < 400) {
    const parts = start.split(",").map((part) => SPACED.exec(part));
    if (parts.every(Boolean)) for (const [, name, number] of parts.slice(0, 16)) values.push([name, Number(number)]);
  }
  const known = new Set(found.values.map(([name]) => name));
  for (const [name, number] of values) {
    if (known.has(name)) continue;
    if (STEPS.includes(name.toLowerCase())) found.step ??= finite(number);
    else if (!isElsewhere(name, number)) found.values.push([name, number]);
  }
  // A number alone in a line is a value too.
  if (values.length === 0 && /^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$/.test(start)) found.values.push(["value", Number(start)]);
}
