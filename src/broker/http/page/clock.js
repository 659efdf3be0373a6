// The broker's clock, as far as the page can know it: that of the browser may be wrong. Runs on the browser's monotonic clock, so a
// change of the time of day changes nothing. Knows no document.

const monotonic = () => performance.now() / 1000;

let offset = null;
let isByResponse = false;

/** Seconds since 1970 on the broker's machine. */
export function now() {
  return monotonic() + (offset ?? Date.now() / 1000 - monotonic());
}

/** A time that the broker has just told of something that has happened: it is not later than now. */
export function heard(seconds) {
  if (!Number.isFinite(seconds)) return;
  const least = seconds - monotonic();
  if (offset == null ? seconds > Date.now() / 1000 + 1 : least > offset) offset = least;
}

/** Asks for the time that the address answers with. Whatever it is asked through, a page that it serves has one. */
export async function ask(url) {
  if (isByResponse) return;
  try {
    const response = await fetch(url, { method: "HEAD", cache: "no-store" });
    const date = Date.parse(response.headers.get("date") ?? "");
    if (Number.isFinite(date)) {
      // It is given in whole seconds.
      offset = date / 1000 + 0.5 - monotonic();
      isByResponse = true;
    }
  } catch {
    // Then the browser's clock has to do.
  }
}
