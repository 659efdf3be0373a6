// Making elements. Whatever comes from a broker becomes text, and nothing else.

/** An element with attributes, listeners (`onclick`) and children: elements, texts, or nothing. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null && child !== ""));
  return made;
}

/** Sets the text of an element, if it is another one. */
export function say(element, text) {
  if (element.said !== text) {
    element.said = text;
    element.textContent = text;
  }
}

/** Sets an attribute, if it is another one; null takes it away. */
export function mark(element, name, value) {
  if (value == null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** Shows an element or not. */
export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

// Each state has a shape of its own, so that none is told by its colour alone.
const SHAPES = {
  running: "M3 2.2v7.6L10 6z", waiting: "M6 1.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zm0 1.6a2.9 2.9 0 1 1 0 5.8 2.9 2.9 0 0 1 0-5.8z",
  done: "M1.6 6.3 2.9 5l2 2L9.2 2.6l1.3 1.3L4.9 9.6z", failed: "M2.6 1.5 6 4.9l3.4-3.4 1.1 1.1L7.1 6l3.4 3.4-1.1 1.1L6 7.1l-3.4 3.4-1.1-1.1L4.9 6 1.5 2.6z",
  aborted: "M2.2 2.2h7.6v7.6H2.2z", lost: "M6 .8 11.4 10.5H.600zM5.3 4.2v3.2h1.4V4.2zm0 4v1.3h1.4V8.2z", ended: "M2 5.2h8v1.7H2z",
};
const SVG = "http://www.w3.org/2000/svg";

/** The sign of a state. */
export function sign(state) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["viewBox", "0 0 12 12"], ["aria-hidden", "true"], ["class", "sign"]]) svg.setAttribute(name, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  svg.path = path;
  if (state) shape(svg, state);
  return svg;
}

/** Turns a sign into that of another state. */
export function shape(svg, state) {
  mark(svg.path, "d", SHAPES[state] ?? SHAPES.ended);
}

/** A badge: the sign and the word of a state. `set(word)` changes it. */
export function badge(word) {
  const [icon, text] = [sign(word), el("span")];
  const made = el("span", { class: "badge" }, icon, text);
  made.set = (next) => {
    if (made.word === next) return;
    made.word = next;
    shape(icon, next);
    say(text, next);
    mark(made, "data-state", next);
  };
  if (word) made.set(word);
  return made;
}
