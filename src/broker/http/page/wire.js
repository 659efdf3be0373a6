// A connection to the broker that comes back: lines of the contract over a WebSocket, with pauses that grow between attempts. What comes is
// handed on in bites that leave room for drawing. Knows no document and no stream.

const PAUSES = [0.3, 1, 2, 4, 8, 15];
/** A connection on which nothing has come for so long is asked whether it is there, and given up after as long again. */
const SILENCE = 15_000;
const DOUBT = 5000;
/** What may wait in the page. Beyond it the page has fallen behind: it begins anew where the broker stands. */
const MOST_WAITING = 48 * 1024 * 1024;
/** Looking at the clock costs little beside lines of so many characters. */
const LARGE = 50_000;
const BITE = 7;
const BITE_HIDDEN = 150;

export class Wire {
  /**
   * `owner` has `opened()`, `event(event)`, `settled()` after each bite, `lost(reason)` and `changed(wire)`.
   * `token()` gives a token or null.
   */
  constructor(url, token, owner) {
    Object.assign(this, { url, token, owner });
    /** "connecting", "live", "away" until the next attempt, "refused" when another attempt would end the same, "closed". */
    this.state = "connecting";
    this.reason = "";
    this.code = "";
    this.attempt = 0;
    this.retryAt = 0;
    this.queue = [];
    /** When each of them came, by the browser's monotonic clock. */
    this.times = [];
    this.at = 0;
    this.waiting = 0;
    this.drainedAt = 0;
    this.isDue = false;
    this.timer = setInterval(() => this.look(), 1000);
    this.connect();
  }

  connect() {
    clearTimeout(this.retry);
    this.tell("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.isHeard = false;
    this.lastWord = null;
    this.heardAt = performance.now();
    socket.onopen = () => {
      if (socket !== this.socket) return;
      const token = this.token();
      if (token) this.send({ action: "auth", token });
      // The answer shows that the broker has let the page in.
      this.send({ action: "ping", receipt: "open" });
      this.owner.opened();
    };
    socket.onmessage = (event) => socket === this.socket && this.take(event.data);
    socket.onclose = () => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.drain(Infinity);
      this.ended();
    };
  }

  take(line) {
    this.heardAt = performance.now();
    this.queue.push(line);
    this.times.push(this.heardAt);
    this.waiting += line.length;
    if (this.waiting > MOST_WAITING) {
      this.begin("the page could not keep up, and goes on where the broker stands");
    } else if (document.hidden && this.isDue && this.heardAt - this.drainedAt > 500) {
      // The frame that was asked for does not come before the page is seen again.
      this.drain(BITE_HIDDEN);
    } else if (!this.isDue) {
      this.isDue = true;
      // A page that is not seen gets no frames.
      if (document.hidden) setTimeout(() => this.drain(BITE_HIDDEN), 250);
      else requestAnimationFrame(() => this.drain(BITE));
    }
  }

  /** How many lines have come and are not read yet. */
  get behind() {
    return this.queue.length - this.at;
  }

  /** Hands on what has come, for so many milliseconds, each with `ago`: how many seconds ago it came. */
  drain(bite) {
    this.isDue = false;
    this.drainedAt = performance.now();
    const until = this.drainedAt + bite;
    let count = 0;
    let large = 0;
    while (this.at < this.queue.length && (((++count & 15) !== 0 && large < LARGE) || performance.now() < until)) {
      const line = this.queue[this.at];
      large = line.length > LARGE ? line.length : large + line.length;
      const ago = Math.max(0, this.drainedAt - this.times[this.at]) / 1000;
      this.queue[this.at++] = null;
      this.waiting -= line.length;
      const event = parsed(line);
      if (event) this.event(Object.assign(event, { ago }));
    }
    if (this.at === this.queue.length) {
      this.queue = [];
      this.times = [];
      this.at = 0;
    } else {
      if (this.at > 50_000) {
        this.queue.splice(0, this.at);
        this.times.splice(0, this.at);
        this.at = 0;
      }
      this.isDue = true;
      if (document.hidden) setTimeout(() => this.drain(BITE_HIDDEN), 250);
      else requestAnimationFrame(() => this.drain(BITE));
    }
    if (count > 0) this.owner.settled();
  }

  event(event) {
    if (event.action === "pong" && (event.receipt === "open" || event.receipt === "there")) {
      if (event.receipt === "open") {
        this.attempt = 0;
        this.reason = "";
        this.tell("live");
      }
    } else if (event.action === "close" && event.stream == null) {
      this.lastWord = event.message ?? {};
    } else {
      this.owner.event(event);
    }
  }

  ended() {
    if (this.state === "closed") return;
    this.code = this.lastWord?.code ?? "";
    this.reason = this.lastWord?.reason ?? "";
    const isRefused = this.code === "auth_required" || this.code === "auth_failed";
    if (this.state === "live" || isRefused) this.owner.lost(this.reason);
    if (isRefused) return this.tell("refused");
    const pause = PAUSES[Math.min(this.attempt, PAUSES.length - 1)] * (0.8 + 0.4 * Math.random()) * 1000;
    this.attempt += 1;
    this.retryAt = performance.now() + pause;
    this.retry = setTimeout(() => this.connect(), pause);
    this.tell("away");
  }

  /** Another attempt at once: somebody asks for it, or has given a token. */
  begin(reason = "") {
    if (this.state === "closed") return;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.queue = [];
    this.times = [];
    this.at = this.waiting = 0;
    if (this.state === "live") this.owner.lost(reason);
    this.connect();
  }

  /** Listeners that are not needed any more. */
  close() {
    this.state = "closed";
    clearTimeout(this.retry);
    clearInterval(this.timer);
    this.queue = [];
    this.at = 0;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  /** Says something, if there is a connection; who listens says all anew when there is one again. */
  send(action) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(action));
  }

  /** The machine has slept: the connection may be dead without a word. It has a few seconds to show that it is not. */
  doubt() {
    if (this.state !== "live") return;
    this.heardAt = Math.min(this.heardAt, performance.now() - 2 * SILENCE + DOUBT);
    this.send({ action: "ping", receipt: "there" });
  }

  /** A silent connection may be a dead one. */
  look() {
    const silent = performance.now() - this.heardAt;
    if (this.state === "live" && silent > 2 * SILENCE) this.begin();
    else if (this.state === "live" && silent > SILENCE) this.send({ action: "ping", receipt: "there" });
    else if (this.state === "connecting" && this.socket && silent > SILENCE) this.begin();
    else if (this.state === "away") this.owner.changed(this);
  }

  tell(state) {
    if (this.state === "closed") return;
    this.state = state;
    this.owner.changed(this);
  }
}

const PUT = '{"action":"put","stream":"';
const MESSAGE = ',"message":';
/** Nothing larger is read; its beginning is shown. */
export const LARGEST_READ = 2 * 1024 * 1024;

/**
 * A line as an object. A `put` also has `raw`, its message byte for byte; the message of one that is too large to be read in a frame is
 * undefined. Null for what is no line of the contract.
 */
export function parsed(line) {
  if (line.startsWith(PUT)) {
    let end = line.indexOf('"', PUT.length);
    while (end > 0 && isEscaped(line, end)) end = line.indexOf('"', end + 1);
    if (end > 0 && line.startsWith(MESSAGE, end + 1)) {
      const raw = line.slice(end + 1 + MESSAGE.length, line.lastIndexOf("}"));
      const stream = json(line.slice(PUT.length - 1, end + 1));
      return { action: "put", stream, raw, message: raw.length > LARGEST_READ ? undefined : json(raw) };
    }
  }
  const event = json(line);
  return typeof event === "object" && event !== null ? event : null;
}

function isEscaped(text, at) {
  let count = 0;
  while (text[at - 1 - count] === "\\") count += 1;
  return count % 2 === 1;
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
