// The numbers of one stream over its run, within a limit of memory. Knows no document.

/** No stream has more series than this. */
export const MOST_SERIES = 64;
/** With more points than this a series is thinned out to half. */
export const MOST_POINTS = 8000;
const MOST_CURVES = 16;

const FIELDS = ["message", "step", "time", "elapsed", "value"];

/**
 * One series: each point has the number of its message, its step, its time in seconds since 1970, the seconds since its job began, and its
 * value; null is what is not known. NaN is a break: what is no number, or a gap.
 */
class Series {
  constructor(name) {
    this.name = name;
    for (const field of FIELDS) this[field] = [];
    /** Its messages tell when they were made; if not, its times are those at which they were heard. */
    this.isTold = false;
    /** What was said last, also if it is no number that can be drawn. */
    this.newest = null;
    /** Two of twice so many points are kept: the lowest and the highest. */
    this.thinned = 1;
    /** Of a thinned series: where the points begin that are not settled yet, and how many came since. */
    this.base = 0;
    this.since = 0;
  }

  add(point, most) {
    const { step, value } = point;
    if (point.isTold && !this.isTold) {
      this.isTold = true;
      this.time.fill(null);
    }
    const last = this.value.length - 1;
    // Callbacks repeat what they have said before at the same step.
    if (last >= 0 && this.step[last] === step && step != null && Object.is(this.value[last], value)) return;
    this.push(this.isTold && !point.isTold ? { ...point, time: null } : point);
    if (Number.isNaN(value)) this.settle();
    else if (this.thinned > 1) this.choose();
    if (this.value.length > most) this.thin();
  }

  push(point) {
    for (const field of FIELDS) this[field].push(point[field]);
  }

  at(index) {
    return { message: this.message[index], step: this.step[index], time: this.time[index], elapsed: this.elapsed[index], value: this.value[index] };
  }

  settle() {
    this.base = this.value.length;
    this.since = 0;
  }

  /** Of the points that are not settled, keeps the lowest, the highest and, until the next comes, the newest. */
  choose() {
    this.since += 1;
    const isFull = this.since >= 2 * this.thinned;
    const all = [];
    for (let index = this.base; index < this.value.length; index += 1) {
      all.push(this.at(index));
    }
    const low = all.reduce((least, point) => (point.value < least.value ? point : least));
    const high = all.reduce((most, point) => (point.value >= most.value ? point : most));
    const kept = all.filter((point, index) => point === low || point === high || (!isFull && index === all.length - 1));
    for (const field of FIELDS) this[field].length = this.base;
    for (const point of kept) this.push(point);
    if (isFull) this.settle();
  }

  /** Half of the points, of each four the lowest and the highest, so that no peak is lost. */
  thin() {
    const kept = [];
    const count = this.value.length;
    for (let start = 0; start < count; start += 4) {
      let low = start;
      let high = start;
      let gap = -1;
      for (let index = start; index < Math.min(start + 4, count); index += 1) {
        if (Number.isNaN(this.value[index])) gap = index;
        if (this.value[index] < this.value[low] || Number.isNaN(this.value[low])) low = index;
        if (this.value[index] > this.value[high] || Number.isNaN(this.value[high])) high = index;
      }
      for (const index of [...new Set([low, high, gap])].filter((index) => index >= 0).sort((a, b) => a - b)) kept.push(index);
    }
    for (const key of FIELDS) this[key] = kept.map((index) => this[key][index]);
    this.thinned *= 2;
    this.settle();
  }
}

/** All series and curves of one run of a stream. */
export class Run {
  constructor(most = MOST_POINTS) {
    this.most = most;
    this.series = new Map();
    /** By name: {now: {x, y}, before: {x, y} or null, message}. */
    this.curves = new Map();
    this.leftOut = new Set();
    this.isCut = false;
    this.lastStep = null;
    /** When its job began by its own word, and by anybody's; the first time that a message told. In seconds since 1970. */
    this.started = null;
    this.began = null;
    this.firstTime = null;
    /** Changes whenever there is something new to draw. */
    this.changes = 0;
  }

  /** Takes the numbers of the message with this number, which was heard at a time, or at nobody knows which. */
  add(message, numbers, heard = null) {
    const { time = null, elapsed = null } = numbers;
    const isTold = time != null || elapsed != null;
    this.firstTime ??= time;
    if (numbers.step != null) this.lastStep = numbers.step;
    const step = numbers.step ?? this.lastStep;
    this.isCut ||= numbers.isCut;
    for (const [name, value] of numbers.values) {
      const series = this.series.get(name) ?? this.open(name);
      if (!series) continue;
      series.newest = value;
      series.add({ message, step, time: isTold ? time : heard, elapsed, value: Number.isFinite(value) ? value : NaN, isTold }, this.most);
    }
    for (const { name, x, y } of numbers.curves) this.curve(name, x, y, message);
    if (numbers.values.length > 0 || numbers.curves.length > 0) this.changes += 1;
  }

  open(name) {
    if (this.series.size >= MOST_SERIES) {
      if (this.leftOut.size < 1000) this.leftOut.add(name);
      return null;
    }
    const series = new Series(name);
    this.series.set(name, series);
    return series;
  }

  curve(name, x, y, message) {
    const known = this.curves.get(name);
    if (!known && this.curves.size >= MOST_CURVES) {
      if (this.leftOut.size < 1000) this.leftOut.add(name);
      return;
    }
    this.curves.set(name, { now: { x, y }, before: known?.now ?? null, message });
  }

  /** Messages are missing here: a break in every series. */
  gap() {
    for (const series of this.series.values()) {
      const last = series.value.length - 1;
      if (last < 0 || Number.isNaN(series.value[last])) continue;
      series.push({ ...series.at(last), value: NaN });
      series.settle();
    }
    this.changes += 1;
  }

  /** One of how many points is kept, of the series of which the fewest are. */
  get thinned() {
    return Math.max(1, ...[...this.series.values()].map((series) => series.thinned));
  }
}

/** Where the points of a series stand along an axis of a plot; null for what has no place there. A job that tells no step has messages. */
function along({ step, message, time, elapsed }, axis, { started, began, firstTime }) {
  if (axis === "time") return time.map((at, index) => at ?? (elapsed[index] != null && started != null ? started + elapsed[index] : null));
  if (axis === "elapsed") {
    const start = started ?? firstTime ?? began;
    return elapsed.map((at, index) => at ?? (time[index] != null && start != null ? time[index] - start : null));
  }
  return axis === "step" && step.some((at) => at != null) ? step : message;
}

/**
 * The points of a series of a run for a plot: {x, y, low, timeless} with rising x, and how many are left out since they are too low for a
 * logarithmic axis, and since their time is not known. Breaks are null.
 */
export function points(series, axis, isLogX = false, isLogY = false, run = { started: null, began: null, firstTime: null }) {
  const across = along(series, axis, run);
  const x = [];
  const y = [];
  let low = 0;
  let timeless = 0;
  let rises = true;
  for (let index = 0; index < across.length; index += 1) {
    const at = across[index];
    const value = series.value[index];
    if (at == null) {
      if (axis !== "step" && !Number.isNaN(value)) timeless += 1;
      continue;
    }
    if ((isLogX && at <= 0) || (isLogY && value <= 0)) low += 1;
    if (isLogX && at <= 0) continue;
    rises &&= x.length === 0 || at >= x[x.length - 1];
    x.push(at);
    y.push(Number.isNaN(value) || (isLogY && value <= 0) ? null : value);
  }
  if (rises) return { x, y, low, timeless };
  const order = x.map((_, index) => index).sort((a, b) => x[a] - x[b] || a - b);
  return { x: order.map((index) => x[index]), y: order.map((index) => y[index]), low, timeless };
}

/**
 * Several {x, y} on one axis, as a plot wants them: [x, y1, y2, ...]. Where a series has no point at some x of another it has undefined,
 * over which its line goes on; null is a break. Points of one series at the same x are kept, each in a place of its own.
 */
export function aligned(all) {
  if (all.length === 1) return [all[0].x, all[0].y];
  const at = all.map(() => 0);
  const out = [[], ...all.map(() => [])];
  for (;;) {
    let least = Infinity;
    for (let s = 0; s < all.length; s += 1) if (at[s] < all[s].x.length && all[s].x[at[s]] < least) least = all[s].x[at[s]];
    if (least === Infinity) return out;
    out[0].push(least);
    for (let s = 0; s < all.length; s += 1) {
      const isHere = at[s] < all[s].x.length && all[s].x[at[s]] === least;
      out[s + 1].push(isHere ? all[s].y[at[s]] : undefined);
      if (isHere) at[s] += 1;
    }
  }
}
