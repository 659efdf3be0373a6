// The broker's clock, as far as the page can know it: that of the browser may be wrong. Runs on the browser's monotonic clock, so a
// change of the time of day changes nothing. Knows no document.

const monotonic = () => performance.now() / 1000;

let offset = null;
let isByResponse = false;
let isAsking = false;
let ahead = Date.now() / 1000 - monotonic();
/** Beyond so many seconds the two clocks of the browser have not merely drifted apart. */
const JUMP = 2;

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

/**
 * Whether the machine has slept since this was asked last, for which the monotonic clock may have stood still, or its time of day was set.
 * Then the time has to be asked for again.
 */
export function hasJumped() {
  const now = Date.now() / 1000 - monotonic();
  const isFar = Math.abs(now - ahead) > JUMP;
  ahead = now;
  if (isFar) isByResponse = false;
  return isFar;
}

/** Asks for the time that the address answers with. Whatever it is asked through, a page that it serves has one. */
export async function ask(url) {
  if (isByResponse || isAsking) return;
  isAsking = true;
  try {
    const response = await fetch(url, { method: "HEAD", cache: "no-store" });
    const date = Date.parse(response.headers.get("date") ?? "");
    if (Number.isFinite(date)) {
      // It is given in whole seconds.
      offset = date / 1000 + 0.5 - monotonic();
    }
    isByResponse = true;
  } catch {
    // Then the browser's clock has to do, until there is a connection again.
  }
  isAsking = false;
}
