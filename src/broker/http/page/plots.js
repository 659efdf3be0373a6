// All plots of a view: one for each series and each curve, with the streams that are compared laid over each other.

import { AXES, canBeLog } from "./along.js";
import { Chart } from "./chart.js";
import { el, mark, say, show } from "./dom.js";
import { MOST_POINTS, MOST_SERIES, points } from "./series.js";
import { counted, grouped, inline } from "./words.js";

/** So many plots are shown unless more are asked for. */
const FEW = 12;
/** Plots are drawn anew at most so often, and less often if drawing is slow. */
const PAUSE = 100;

export class Plots {
  /** `app` has `view` and `go(view)`. */
  constructor(app) {
    this.app = app;
    this.charts = new Map();
    this.isAll = false;
    const change = (changes) => () => this.app.go({ ...this.app.view, ...changes(this.app.view) }, true);
    const toggle = (text, keys, label, changes) => el("button", { type: "button", class: "toggle", "aria-keyshortcuts": keys, title: label, onclick: change(changes) }, text);
    this.axes = Object.entries(AXES).map(([axis, what]) => [axis, toggle(axis, "m", `against ${what} (m)`, () => ({ axis }))]);
    this.logX = toggle("log x", "Shift+L", "logarithmic along (Shift+L)", (view) => ({ isLogX: !view.isLogX }));
    this.logY = toggle("log y", "l", "logarithmic upwards (l)", (view) => ({ isLogY: !view.isLogY }));
    this.all = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.reset() }, "Whole range");
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Which series" });
    this.grid = el("div", { class: "charts" });
    this.more = el("button", { type: "button", class: "quiet", onclick: () => { this.isAll = true; this.key = ""; this.draw(); } });
    this.note = el("p", { class: "foot" });
    this.element = el("section", { class: "plots", "aria-label": "Plots" },
      el("div", { class: "tools" }, el("h2", {}, "Plots"), el("div", { class: "segments", role: "group", "aria-label": "Along" }, ...this.axes.map(([, button]) => button)), this.logX, this.logY, this.all, this.chips),
      this.grid, this.more, this.note);
    this.seen = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) if (target.chart) target.chart.isSeen = isIntersecting;
      this.key = "";
      this.soon();
    }, { rootMargin: "200px" });
  }

  /** Shows the series of these streams, each {name, run, before}. */
  update(streams) {
    this.streams = streams;
    const { view } = this.app;
    // What somebody turns is turned at once: the next key is about what it has come to.
    const turned = JSON.stringify([view.range, view.curveRange, view.axis, view.isLogX, view.isLogY]);
    if (turned !== this.turned) {
      this.turned = turned;
      show(this.all, view.range != null || view.curveRange != null);
      this.draw();
    }
    for (const [axis, button] of this.axes) mark(button, "aria-pressed", view.axis === axis ? "true" : "false");
    mark(this.logX, "aria-pressed", view.isLogX ? "true" : "false");
    mark(this.logY, "aria-pressed", view.isLogY ? "true" : "false");
    this.soon();
  }

  soon() {
    if (this.due || !this.streams) return;
    this.due = setTimeout(() => requestAnimationFrame(() => {
      this.due = null;
      const start = performance.now();
      this.draw();
      this.cost = performance.now() - start;
    }), Math.max(PAUSE, 5 * (this.cost ?? 0)));
  }

  /** What can be drawn, by name: series with two points or more in any stream, and curves. */
  names() {
    const found = new Map();
    for (const { run } of this.streams) {
      for (const [name, series] of run.series) if (series.value.length >= 2) found.set(name, "series");
      for (const name of run.curves.keys()) if (!found.has(name)) found.set(name, "curve");
    }
    return [...found];
  }

  draw() {
    if (!this.element.isConnected) return;
    const { view } = this.app;
    const key = [this.streams.map(({ name, run, before }) => `${name} ${run.changes} ${before?.changes}`), this.turned, view.only, document.documentElement.dataset.shown].join();
    if (key === this.key) return;
    this.key = key;
    const all = this.names();
    const chosen = view.only.length > 0 ? all.filter(([name]) => view.only.includes(name)) : all;
    const drawn = this.isAll || view.only.length > 0 ? chosen : chosen.slice(0, FEW);
    show(this.element, all.length > 0);
    this.choices(all, view);
    for (const [name, chart] of this.charts) {
      if (drawn.some(([each]) => each === name)) continue;
      this.seen.unobserve(chart.element);
      chart.close();
      this.charts.delete(name);
    }
    for (const [name, kind] of drawn) {
      let chart = this.charts.get(name);
      if (!chart) {
        chart = new Chart(name, (range) => this.look(kind, range));
        chart.element.chart = chart;
        chart.kind = kind;
        this.charts.set(name, chart);
        this.grid.append(chart.element);
        this.seen.observe(chart.element);
      }
      if (chart.isSeen || !chart.lines) this.fill(chart, name, kind, view);
    }
    show(this.more, drawn.length < chosen.length);
    say(this.more, `Show all ${chosen.length} plots`);
    this.limits();
  }

  fill(chart, name, kind, view) {
    const lines = [];
    const isCurve = kind === "curve";
    const isLogX = view.isLogX && (isCurve || canBeLog(view.axis));
    const isTimed = !isCurve && (view.axis === "time" || view.axis === "elapsed");
    const notes = new Set();
    let gap = 0;
    this.streams.forEach(({ name: stream, run, before }, colour) => {
      if (isCurve) {
        const curve = run.curves.get(name);
        if (!curve) return;
        const cut = (each) => drawable(each, isLogX, view.isLogY);
        const label = this.streams.length > 1 ? stream : "now";
        if (curve.before) lines.push({ label: this.streams.length > 1 ? `${stream} before` : "before", ...cut(curve.before), colour, isFaint: true });
        lines.push({ label, ...cut(curve.now), colour, isFaint: false });
        return;
      }
      // A run before under the same name stays as a faint line to compare with.
      for (const [from, isFaint] of [[before, true], [run, false]]) {
        const series = from?.series.get(name);
        if (!series || series.value.length === 0) continue;
        if (series.thinned > 1) gap = Math.max(gap, series.thinned);
        const drawn = points(series, view.axis, isLogX, view.isLogY, from);
        if (isTimed) timeNotes(series, drawn, notes);
        lines.push({ label: this.streams.length > 1 || before ? (isFaint ? `${stream}, run before` : stream) : stream, ...drawn, newest: series.newest, colour, isFaint });
      }
    });
    const isByStep = !isCurve && view.axis === "step" && this.streams.some(({ run }) => run.series.get(name)?.step.some((step) => step != null));
    if (gap > 1) notes.add(`thinned out: of each ${2 * gap} points the lowest and the highest are drawn`);
    chart.draw(lines, {
      axis: isCurve ? "x" : isTimed ? view.axis : isByStep ? "step" : "message", range: isCurve ? view.curveRange : view.range, isLogX, isLogY: view.isLogY, theme: document.documentElement.dataset.shown,
      note: [...notes].join(" · "),
    });
  }

  /** A chip for each series: pressed ones alone are drawn, and none pressed is all. */
  choices(all, view) {
    const key = JSON.stringify([all.map(([name]) => name), view.only]);
    if (key === this.chosen) return;
    this.chosen = key;
    show(this.chips, all.length > 1);
    this.chips.replaceChildren(...all.slice(0, MOST_SERIES).map(([name]) => {
      const isPressed = view.only.includes(name);
      const only = isPressed ? view.only.filter((each) => each !== name) : [...view.only, name];
      return el("button", { type: "button", class: "chip", "aria-pressed": isPressed ? "true" : "false", dir: "auto", onclick: () => this.app.go({ ...this.app.view, only }, true) }, inline(name, 40));
    }));
  }

  limits() {
    const told = [];
    const left = this.streams.reduce((sum, { run }) => sum + run.leftOut.size, 0);
    if (left > 0) told.push(`${grouped(left)}${left >= 1000 ? " or more" : ""} further series ${left === 1 ? "is" : "are"} not kept: a stream has at most ${MOST_SERIES}`);
    if (this.streams.some(({ run }) => run.isCut)) told.push("of some messages not all numbers are read: they hold too many, or too deep ones");
    if (this.streams.some(({ run }) => run.thinned > 1)) told.push(`a series keeps at most ${MOST_POINTS} points`);
    say(this.note, told.join(" · "));
    show(this.note, told.length > 0);
  }

  /** Shows this part of the axis in all plots of a kind, which have one in common. */
  look(kind, range) {
    this.app.go({ ...this.app.view, [kind === "curve" ? "curveRange" : "range"]: range }, true);
  }

  reset() {
    this.app.go({ ...this.app.view, range: null, curveRange: null }, true);
  }

  /** Zooms all plots, by what the first of each kind shows. */
  zoom(factor) {
    for (const kind of ["series", "curve"]) [...this.charts.values()].find((chart) => chart.plot && chart.kind === kind)?.zoom(factor);
  }

  close() {
    clearTimeout(this.due);
    this.seen.disconnect();
    for (const chart of this.charts.values()) chart.close();
  }
}

/** What there is to be said of times: messages carry none of their own accord. */
function timeNotes(series, { x, timeless }, notes) {
  if (timeless > 0) notes.add(`${counted(timeless, "point")} left out: ${series.isTold ? "no time is told" : "no time is told, and nobody was looking when they came"}`);
  if (!series.isTold && x.length > 0) notes.add("at the time at which this page heard them");
}

function drawable({ x, y }, isLogX, isLogY) {
  if (!isLogX && !isLogY) return { x, y };
  const kept = x.map((_, index) => index).filter((index) => !isLogX || x[index] > 0);
  const low = x.length - kept.length + (isLogY ? kept.filter((index) => y[index] != null && y[index] <= 0).length : 0);
  return { low, x: kept.map((index) => x[index]), y: kept.map((index) => (isLogY && y[index] <= 0 ? null : y[index])) };
}
