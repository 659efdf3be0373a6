// Which rows of a long list are drawn. Arithmetic only.

/** How many rows beyond those in view are kept ready above and below. */
export const SPARE = 6;

/** The rows to draw of `count` rows of one `height`: {first, end, above}, of which `end` is one behind the last. */
export function inView(top, viewport, height, count) {
  const first = Math.max(0, Math.floor(top / height) - SPARE);
  const end = Math.min(count, Math.ceil((top + viewport) / height) + SPARE);
  return { first: Math.min(first, Math.max(0, end)), end: Math.max(end, 0) };
}

/** Where to scroll so that a row is in view, or null if it is. */
export function scrolledTo(index, top, viewport, height) {
  if (index * height < top) return index * height;
  if ((index + 1) * height > top + viewport) return (index + 1) * height - viewport;
  return null;
}
