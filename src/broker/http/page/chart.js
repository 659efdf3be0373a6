// One plot: lines over a common axis, with zoom, logarithmic axes and the values under the pointer. Draws with uPlot, which is a global.

import { el, mark, say } from "./dom.js";
import { counted, inline, reading } from "./words.js";
import { distances, marks, place, rounded, shownOf } from "./along.js";
import { aligned } from "./series.js";

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [14, 4], [4, 4], [1, 3], [10, 2, 1, 2, 1, 2]];
const HEIGHT = 190;

/** The colours of plots, as the style sheet has them now. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { text: read("--muted"), grid: read("--line"), series: Array.from({ length: 8 }, (_, index) => read(`--series-${index}`)) };
}

export class Chart {
  /** `zooming(range)` is called with the part of the axis that somebody wants to see, or null for all of it. */
  constructor(name, zooming) {
    this.name = name;
    this.zooming = zooming;
    this.title = el("h3", { dir: "auto" }, inline(name, 80));
    this.values = el("p", { class: "values" });
    this.room = el("div", { class: "room" });
    this.note = el("p", { class: "note", hidden: true });
    this.element = el("figure", { class: "chart", tabindex: 0, "data-name": name }, el("figcaption", {}, this.title, this.values), this.room, this.note);
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    this.isSeen = true;
    /** The part of the axis that is shown, if it is not all of it. */
    this.zoomed = null;
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe(this.room);
  }

  /**
   * Draws `lines`, each {label, x, y, colour, isFaint, newest, low}: `colour` is its number, `newest` what was said last, and `low` how many
   * points are left out since they are too low for the axes. `options` has {axis, range, isLogX, isLogY, note, theme}.
   */
  draw(lines, options) {
    this.lines = lines;
    this.options = options;
    const isEmpty = lines.every((line) => line.y.every((value) => value == null));
    const range = options.range && shownOf(options.range, options.isLogX, Math.min(...lines.filter((line) => line.x.length > 0).map((line) => line.x[0])));
    const isElsewhere = range && !isEmpty && !lines.some((line) => line.x.some((x) => x >= range[0] && x <= range[1]));
    const low = lines.reduce((sum, line) => sum + (line.low ?? 0), 0);
    const notes = [isEmpty ? `nothing to draw${low > 0 ? " on these axes" : ""}` : isElsewhere && "nothing is in this part of the axis",
      low > 0 && `${isEmpty ? "" : `${counted(low, "point")} left out: `}a logarithmic axis has no place for zero and below`, options.note];
    const note = notes.filter(Boolean).join(isEmpty ? ": " : " · ");
    say(this.note, note ?? "");
    this.note.hidden = !note;
    const key = JSON.stringify([options.axis, options.isLogX, options.isLogY, lines.map((line) => [line.label, line.colour, line.isFaint]), options.theme, isEmpty]);
    this.data = isEmpty ? null : aligned(lines);
    if (key !== this.key) {
      this.key = key;
      this.plot?.destroy();
      this.plot = null;
    }
    if (!this.data) {
      this.plot?.destroy();
      this.plot = null;
    } else if (!this.plot) {
      this.zoomed = range;
      this.make();
    } else {
      this.zoomed = range;
      this.fit();
      // What somebody looks at closely stays where it is while new points come.
      this.plot.setData(this.data, !this.zoomed);
      this.look();
    }
    this.describe();
  }

  make() {
    const { axis, isLogX, isLogY } = this.options;
    const colours = palette();
    const font = "11px system-ui, sans-serif";
    const isTime = axis === "time";
    const across = { stroke: colours.text, grid: { stroke: colours.grid, width: 1 }, ticks: { stroke: colours.grid, width: 1, size: 4 }, font, size: 26, label: axis, labelSize: 14, labelFont: font, labelGap: -2, values: (_, ticks, _axis, _space, step) => marks(axis, ticks, step) };
    const up = { ...across, label: undefined, labelSize: 0, size: 58, gap: 4, values: (_, ticks) => marks("", ticks) };
    // The marks of a time of day have the day below it.
    Object.assign(across, isTime ? { size: 38, label: undefined, labelSize: 0, space: 76 } : { incrs: distances(axis), space: axis === "elapsed" ? 64 : 50 });
    const line = (each) => ({
      label: each.label, stroke: colours.series[each.colour % 8], width: each.isFaint ? 1 : 1.75, alpha: each.isFaint ? 0.75 : 1, points: { size: 4 },
      dash: each.isFaint ? [3, 4] : DASHES[each.colour % 8],
    });
    this.plot = new uPlot({
      width: Math.max(120, this.room.clientWidth), height: HEIGHT, legend: { show: false }, padding: [8, 12, 0, 0],
      cursor: { drag: { x: true, y: false, uni: 20, setScale: false }, focus: { prox: 24 }, sync: { key: `x:${axis}:${isLogX}`, setSeries: false, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } } },
      scales: { x: { time: isTime, distr: isLogX ? 3 : 1, range: (_, least, most) => room(least, most, isLogX) }, y: { distr: isLogY ? 3 : 1, range: isLogY ? (_, least, most) => room(least, most, true) : undefined } },
      axes: [across, up],
      series: [{}, ...this.lines.map(line)],
      hooks: {
        setCursor: [() => this.tell()],
        setSelect: [(plot) => this.selected(plot)],
      },
    }, this.data, this.room);
    this.look();
    this.plot.over.addEventListener("dblclick", () => this.zooming(null));
    this.tell();
  }

  fit() {
    const width = Math.max(120, this.room.clientWidth);
    if (this.plot && this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width <= 0) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.zooming(rounded([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")], this.options.isLogX));
  }

  look() {
    if (this.zoomed) this.plot.setScale("x", { min: this.zoomed[0], max: this.zoomed[1] });
  }

  /** Zooms around the middle, or moves along, by a part of what is seen. */
  zoom(factor, shift = 0) {
    if (!this.plot) return;
    const { min, max } = this.plot.scales.x;
    const isLog = this.options.isLogX;
    const [a, b] = isLog ? [Math.log(min), Math.log(max)] : [min, max];
    const middle = (a + b) / 2 + (b - a) * shift;
    const half = ((b - a) / 2) * factor;
    const back = (value) => (isLog ? Math.exp(value) : value);
    const range = [back(middle - half), back(middle + half)];
    // Beyond what numbers can tell apart there is nothing more to see.
    if (range.every(Number.isFinite) && range[1] - range[0] > 1e-12 * Math.abs(range[1])) this.zooming(rounded(range, isLog));
  }

  pressed(event) {
    const does = { "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), ArrowLeft: () => this.zoom(1, -0.2), ArrowRight: () => this.zoom(1, 0.2), 0: () => this.zooming(null) }[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }

  /** The values under the pointer, or the newest ones. */
  tell() {
    if (!this.lines) return;
    const index = this.plot?.cursor.idx;
    const isHovered = index != null && this.plot.cursor.left >= 0;
    const parts = this.lines.map((line, at) => {
      const value = isHovered ? nearest(this.data[at + 1], index) : newest(line);
      return [line, value];
    });
    const key = JSON.stringify([isHovered ? this.data[0][index] : null, parts.map(([line, value]) => [line.label, reading(value)])]);
    if (key === this.told) return;
    this.told = key;
    const at = isHovered ? [el("span", { class: "at" }, place(this.options.axis, this.data[0][index]))] : [];
    this.values.replaceChildren(...at, ...parts.map(([line, value]) => {
      const label = this.lines.length > 1 ? `${inline(line.label, 30)} ` : "";
      return el("span", { class: line.isFaint ? "value faint" : "value", "data-colour": line.colour % 8 }, label, el("b", {}, reading(value)));
    }));
  }

  describe() {
    this.tell();
    const parts = this.lines.map((line) => `${this.lines.length > 1 ? `${inline(line.label, 60)}: ` : ""}${line.x.length} points, last ${reading(newest(line))}`);
    mark(this.element, "aria-label", `${inline(this.name, 80)} against ${this.options.axis}: ${parts.join("; ")}`);
  }

  close() {
    this.resizing.disconnect();
    this.plot?.destroy();
    this.element.remove();
  }
}

/** The ends of an axis: a single point, or none, has some room around it. */
function room(least, most, isLog) {
  if (least == null || most == null) return isLog ? [0.1, 1] : [0, 1];
  if (isLog) return [least === most ? least / 2 : least, least === most ? most * 2 : most];
  return least === most ? [least - 1, most + 1] : [least, most];
}

/** What was said last, whether it can be drawn or not: that a fit has come to NaN must not look like its last good value. */
function newest({ newest: said, y }) {
  return said === undefined ? y.findLast((value) => value != null) ?? null : said;
}

/** Where another series has its point, this one's last before it is meant. */
function nearest(values, index) {
  for (let at = index; at >= 0 && at > index - 50; at -= 1) if (values[at] !== undefined) return values[at];
  return null;
}
