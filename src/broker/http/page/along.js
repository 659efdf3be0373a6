// What plots can stand against, how it is written along the axis, and which part of it is looked at. Knows no document.

import { running, reading } from "./words.js";

/** The axes of series, by name: what each is, for people. */
export const AXES = {
  step: "the step that messages tell", message: "the number of the message", elapsed: "the time since the job began", time: "the time of day",
};

/** The axis that the key turns to. */
export function nextAxis(axis) {
  const all = Object.keys(AXES);
  return all[(all.indexOf(axis) + 1) % all.length];
}

/** Whether an axis can be logarithmic: there is no first time of day. */
export function canBeLog(axis) {
  return axis !== "time";
}

const SECONDS = [1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200];
const DAYS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].map((days) => days * 86_400);

/** Distances between the marks of an axis, if they are not those of plain numbers or of the time of day. */
export function distances(axis) {
  return axis === "elapsed" ? [...SECONDS, ...DAYS] : undefined;
}

/** What the marks of an axis say, `step` from each other. */
export function marks(axis, ticks, step) {
  if (axis === "elapsed") return ticks.map((tick) => (tick == null ? "" : step < 1 && tick < 60 ? `${reading(Number(tick.toFixed(3)))} s` : running(tick)));
  if (axis !== "time") return ticks.map((tick) => (tick == null ? "" : reading(tick)));
  let before = "";
  return ticks.map((tick) => {
    if (tick == null) return "";
    const day = dayOf(tick);
    const isOther = day !== before;
    before = day;
    const time = step >= 86_400 ? "" : timeOfDay(tick, step);
    return isOther ? `${time}\n${day}` : time;
  });
}

/** A value of an axis, where the pointer is. */
export function place(axis, value) {
  if (axis === "time") return `${dayOf(value)} ${timeOfDay(value, 1)}`;
  return `${axis} ${axis === "elapsed" ? (value < 60 ? `${reading(value)} s` : running(value)) : reading(value)}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (value) => String(value).padStart(2, "0");

// As the clock of whoever looks has it.
function dayOf(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.getDate()} ${MONTHS[date.getMonth()]}`;
}

function timeOfDay(seconds, step) {
  const date = new Date(seconds * 1000);
  const short = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (step >= 60) return short;
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  return `${short}:${two(date.getSeconds())}${digits > 0 ? `.${String(date.getMilliseconds()).padStart(3, "0").slice(0, digits)}` : ""}`;
}

/** A part of an axis as an address has it, `10:200`, as [10, 200]; null for what is none. */
export function rangeOf(text) {
  const parts = (text ?? "").split(":");
  if (parts.length !== 2 || parts.some((part) => part.trim() === "" || part.length > 30)) return null;
  const [least, most] = parts.map(Number);
  return Number.isFinite(least) && Number.isFinite(most) && least < most ? [least, most] : null;
}

/** A part of an axis with no more digits than can be seen. */
export function rounded([least, most], isLog) {
  if (isLog) return [Number(least.toPrecision(5)), Number(most.toPrecision(5))];
  const digits = Math.min(20, Math.max(0, 3 - Math.floor(Math.log10(most - least))));
  const found = [least, most].map((value) => Number(value.toFixed(digits)));
  return found[0] < found[1] ? found : [least, most];
}

/** The part of an axis that can be shown of `range`: a logarithmic axis begins above zero, at the `first` point. */
export function shownOf(range, isLog, first) {
  if (!range || !isLog || range[0] > 0) return range;
  return first > 0 && range[1] > first ? [first, range[1]] : null;
}
