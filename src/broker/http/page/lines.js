// The tail of what was heard: the last lines, within a limit, and what is looked for in them. Knows no document.

/** More lines than this are not kept. */
export const MOST_LINES = 5000;
/** Nor more characters of them all together. */
export const MOST_CHARACTERS = 8 * 1024 * 1024;
/** What is kept of one message to look at. */
export const LONGEST = 64 * 1024;
const LONGEST_LINE = 400;

/** The levels that a tail can be held to. */
export const LEVELS = {
  all: () => true,
  lines: (line) => line.kind !== "progress" && line.kind !== "join",
  warnings: (line) => line.level === "warning" || line.level === "error" || line.kind === "notice" || line.kind === "end",
  errors: (line) => line.level === "error" || line.kind === "notice" || line.kind === "end",
};

export class Lines {
  constructor() {
    this.all = [];
    this.start = 0;
    this.characters = 0;
    /** How many lines have come, and how many are not kept any more. */
    this.count = 0;
    this.dropped = 0;
  }

  /**
   * Adds {stream, kind, level, text, raw, at}: `at` is when it was heard, or null for what had been before. A `notice` is the page's own
   * word, such as a gap.
   */
  add(line) {
    const whole = line.raw ?? line.text;
    const kept = {
      ...line, number: this.count++, raw: whole.length > LONGEST ? whole.slice(0, LONGEST) : whole, length: whole.length,
      text: line.text.length > LONGEST_LINE ? `${line.text.slice(0, LONGEST_LINE)}…` : line.text,
    };
    // A string that is a piece of a longer one would hold on to all of it.
    if (whole.length > LONGEST) kept.raw = Array.from(kept.raw).join("");
    this.all.push(kept);
    this.characters += kept.raw.length + kept.text.length;
    while (this.all.length - this.start > MOST_LINES || (this.characters > MOST_CHARACTERS && this.all.length - this.start > 1)) {
      const gone = this.all[this.start];
      this.all[this.start++] = null;
      this.characters -= gone.raw.length + gone.text.length;
      this.dropped += 1;
    }
    if (this.start > MOST_LINES) {
      this.all.splice(0, this.start);
      this.start = 0;
    }
  }

  /** Those that are looked for, of those up to the number `until` (when it stands still). */
  found({ find = "", level = "all", until = Infinity } = {}) {
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const lets = LEVELS[level] ?? LEVELS.all;
    const out = [];
    for (let index = this.start; index < this.all.length; index += 1) {
      const line = this.all[index];
      if (line.number >= until) break;
      if (!lets(line)) continue;
      if (words.length > 0) {
        const text = `${line.text} ${line.raw.length < 4000 ? line.raw : line.raw.slice(0, 4000)}`.toLowerCase();
        if (!words.every((word) => text.includes(word))) continue;
      }
      out.push(line);
    }
    return out;
  }
}
