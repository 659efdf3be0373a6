// What one message says: progress, a line with a level, an end. Understands the package's monitor messages and the plain shapes that
// people send. Knows no document, no stream and no state before it.

import { inline, rounded, reading } from "./words.js";

const ENDS = { Complete: "done", Abort: "aborted", Lost: "lost", Error: "failed" };
const CLASS = /^monitor\.([A-Z][a-z]+)$/;

/**
 * Reads a message. Always gives an object with
 * - `kind`: "start", "join", "progress", "improvement", "log", "end" or "other"
 * - `line`: what a tail shows of it, one line of text
 * - `level`: "error", "warning", "debug" or ""
 * - `step`: for start, join and progress: {title, k, total, units, text, started}, each null if it is not told
 * - `ending`: for an end: {how, what, title, started, ended, traceback}
 * - `body`: the value in which numbers are looked for
 */
export function read(value, raw) {
  const typed = typedOf(value);
  const name = typed && CLASS.exec(typed.class)?.[1];
  const state = typed && isObject(typed.state) ? typed.state : {};
  if (name && Object.hasOwn(ENDS, name)) return end(ENDS[name], state);
  if (name === "Start") return told("start", stepOf(state), state, "begins");
  if (name === "Join") return told("join", stepOf(state), state, "stands at");
  if (name === "Progress") return told("progress", stepOf(state), state, "");
  if (name === "Log") return log(state.text, state.level, state);
  if (name === "Improvement") return improvement(state);
  if (typed) return other(value, typed.state, raw);
  if (isObject(value)) return plain(value, raw);
  if (typeof value === "string") return text(value);
  return other(value, value, raw);
}

/** Whether a value is an object with keys. */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A finite number, or null. */
export function finite(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** The class and the state of a typed object, or null. */
export function typedOf(value) {
  return isObject(value) && typeof value[".class"] === "string" ? { class: value[".class"], state: value[".state"] } : null;
}

function stepOf(state) {
  return {
    title: string(state.title), k: finite(state.k), total: finite(state.total), units: string(state.units), text: string(state.text),
    started: string(state.started),
  };
}

function string(value) {
  return value == null ? null : typeof value === "string" ? value : shown(value);
}

function told(kind, step, body, verb) {
  const count = step.k == null && step.total == null ? "" : `${rounded(step.k ?? 0)}${step.total == null ? "" : `/${rounded(step.total)}`}`
    + (step.units ? ` ${step.units}` : "");
  const scalars = isObject(body.scalars) && !step.text ? pairs(body.scalars) : pairs(body, true);
  const line = [verb, kind === "progress" ? "" : step.title, count, step.text, step.text ? "" : scalars].filter(Boolean).join("  ");
  return { kind, step, body, line: inline(line), level: "" };
}

const COMMON = new Set(["k", "total", "title", "units", "text", "started", "ended", "improvement", "scalars"]);

/** `loss 0.5, rate 0.1`: the first few numbers beside what has a place of its own. */
function pairs(object, isPartly = false) {
  const found = [];
  let looked = 0;
  for (const key in object) {
    if (found.length === 4 || ++looked > 20) break;
    const value = finite(object[key]);
    if (value != null && !(isPartly && COMMON.has(key))) found.push(`${key} ${reading(value)}`);
  }
  return found.join(", ");
}

function improvement(state) {
  const value = finite(state.value);
  const rest = pairs({ ...shallow(state), value: null });
  return {
    kind: "improvement", body: state, level: "",
    line: inline(`better: ${value == null ? shown(state.value, 120) : reading(value)}${rest ? `, ${rest}` : ""}`),
  };
}

function shallow(object) {
  const few = {};
  let count = 0;
  for (const key in object) {
    if (++count > 32) break;
    few[key] = object[key];
  }
  return few;
}

function log(line, level, body) {
  return { kind: "log", body, level: levelOf(level), line: string(line) ?? "", tag: string(level)?.slice(0, 12) ?? "" };
}

/** The three levels that look different, by the names that loggers have for them. */
export function levelOf(level) {
  const name = typeof level === "string" ? level.toLowerCase() : "";
  if (["error", "critical", "fatal", "alert", "emergency"].includes(name)) return "error";
  if (name === "warning" || name === "warn") return "warning";
  return name === "debug" || name === "trace" ? "debug" : "";
}

function end(how, state) {
  const what = how === "done" ? outcome(state.result) : string(state.reason);
  const ending = { how, what, title: string(state.title), started: string(state.started), ended: string(state.ended), traceback: string(state.traceback) };
  return { kind: "end", ending, body: state, level: how === "failed" || how === "lost" ? "error" : how === "aborted" ? "warning" : "", line: inline(what ? `${how}: ${what}` : how) };
}

/** What a job says that came out of it. That a command has exited with 0 is no news once it is done. */
function outcome(result) {
  if (result == null || (isObject(result) && result.exit === 0 && Object.keys(shallow(result)).length === 1)) return null;
  return shown(result);
}

/** A value as people read it. What is nested too deeply to be written is told so. */
export function shown(value, most = 2000) {
  if (typeof value === "string") return value.slice(0, most);
  try {
    const text = JSON.stringify(value) ?? "";
    return text.length > most ? `${text.slice(0, most)}…` : text;
  } catch {
    return "(nested too deeply to be shown)";
  }
}

/** `{"k":3,"total":10}`, tqdm's `{"n":3,"total":10,"unit":"it"}`, `{"step":3,"loss":0.1}`, `{"level":"info","msg":"hot"}`. */
function plain(value, raw) {
  if (finite(value.k) != null) return told("progress", stepOf(value), value, "");
  if (finite(value.n) != null && (finite(value.total) != null || "elapsed" in value)) {
    const units = string(value.unit) ?? string(value.units);
    const step = { ...stepOf(value), k: value.n, units: units === "it" ? null : units, text: string(value.postfix), title: string(value.prefix ?? value.desc) };
    return told("progress", step, value, "");
  }
  const step = finite(value.step) ?? finite(value.iteration) ?? finite(value.epoch);
  const total = finite(value.total) ?? finite(value.total_steps) ?? finite(value.steps) ?? finite(value.max_steps) ?? finite(value.epochs);
  if (step != null && total != null) return { ...other(value, value, raw), kind: "progress", step: { ...stepOf(value), k: step, total } };
  const line = value.msg ?? value.text ?? (typeof value.message === "string" ? value.message : undefined);
  if (typeof line === "string" && typeof value.level === "string") return log(line, value.level, value);
  return other(value, value, raw);
}

const BAR = /(\d{1,3})%\|[^|]{0,200}\|\s*([\d.]+)([kMG]?)\/([\d.]+)([kMG]?)\s*(?:\[([^\]]*)\])?(.*)$/;
const SCALE = { "": 1, k: 1e3, M: 1e6, G: 1e9 };

/** A line of text, which may be a bar that tqdm has drawn. */
function text(value) {
  const bar = value.length < 1000 && value.includes("%|") && BAR.exec(value);
  if (!bar) return { kind: "other", body: value, level: "", line: value };
  const k = Number(bar[2]) * SCALE[bar[3]];
  const total = Number(bar[4]) * SCALE[bar[5]];
  const said = `${bar[6]?.split(",").slice(2).join(",") ?? ""}${bar[7]}`.trim();
  const step = { title: null, k: finite(k), total: finite(total), units: null, text: said || null, started: null };
  return { kind: "progress", step, body: value, line: inline(value), level: "" };
}

function other(value, body, raw) {
  return { kind: "other", body, level: "", line: raw == null ? shown(value) : inline(raw) };
}
