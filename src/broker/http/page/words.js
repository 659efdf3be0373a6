// Amounts, times and names as people read them: the same words that `msgstream listen` and `msgstream streams` show.
// Knows no document and no broker.

const PREFIXES = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
// From here on amounts are shown with a prefix; below the other one as a power of ten.
const LARGE = 100_000;
const SMALL = 0.0001;

/** `3/10 steps`, `1.23M/100M bytes`, `42%`. */
export function amount(k, total, units) {
  if (isPercentage(total, units)) return `${number(k, Math.abs(k))}%`;
  const most = Math.abs(total == null ? k : Math.max(total, k));
  const of = total == null ? "" : `/${number(total, most)}`;
  return `${number(k, most)}${of}${units ? ` ${units}` : ""}`;
}

/** Whether an amount says no more than its share of the total. */
export function isPercentage(total, units) {
  return total === 100 && units === "%";
}

/** `2.5 steps/s`, or `4 s/step` if one takes longer than a second. */
export function rate(eachSecond, units) {
  if (eachSecond >= 1) return `${rounded(eachSecond)}${units ? ` ${units}` : ""}/s`;
  const unit = units ? (units.length > 1 && units.endsWith("s") ? units.slice(0, -1) : units) : "it";
  return `${rounded(1 / eachSecond)} s/${unit}`;
}

/** A number in three digits, with a prefix if it is large. */
export function rounded(value) {
  const size = Math.abs(value);
  for (const [power, prefix] of PREFIXES) {
    // What would be rounded up to the next prefix has it.
    if (size >= power * 0.9995 && size < power * 1e6 && (power > 1e3 || size >= 10_000)) {
      return fixed(value / power, decimals(size / power)) + prefix;
    }
  }
  if (size >= 1e21 || (value !== 0 && size < SMALL)) return scientific(value);
  return fixed(value, decimals(size));
}

/** A value of a plot: four digits, enough to tell neighbours apart. */
export function reading(value) {
  if (value == null) return "–";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (value === 0 || Number.isInteger(value) && size < 1e7) return String(value);
  if (size >= 1e7 || size < 1e-3) return trimmedPower(value.toExponential(3));
  return trimmed(value.toFixed(Math.max(0, 4 - Math.floor(Math.log10(size)) - 1)));
}

function number(value, most) {
  if (most >= LARGE) return rounded(value);
  if (Number.isInteger(value)) return value.toFixed(0);
  if (most < SMALL) return scientific(value);
  return fixed(value, decimals(most));
}

function scientific(value) {
  return trimmedPower(value.toExponential(2));
}

function trimmedPower(text) {
  const [digits, power] = text.split("e");
  return `${trimmed(digits)}e${power.replace("+", "")}`;
}

/** How many digits behind the point make three in all. */
function decimals(size) {
  if (size === 0) return 0;
  if (size < 0.001) return 6;
  if (size < 0.01) return 5;
  if (size < 0.1) return 4;
  if (size < 0.9995) return 3;
  if (size < 9.995) return 2;
  return size < 99.95 ? 1 : 0;
}

/** So many digits behind the point, without zeros that mean nothing; a half is rounded to the even neighbour, as the terminal does. */
function fixed(value, digits) {
  const scaled = value * 10 ** digits;
  const isHalf = Math.abs(scaled % 1) === 0.5;
  const even = 2 * Math.round(scaled / 2);
  return trimmed(isHalf ? (even / 10 ** digits).toFixed(digits) : value.toFixed(digits));
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

/** `under 1 s`, `4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 3 h`. */
export function words(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s === 0) return "under 1 s";
  if (s < 60) return `${s} s`;
  const parts = s < 3600 ? [Math.floor(s / 60), "min", s % 60, "s"]
    : s < 86_400 ? [Math.floor(s / 3600), "h", Math.floor(s / 60) % 60, "min"]
      : [Math.floor(s / 86_400), "d", Math.floor(s / 3600) % 24, "h"];
  return parts[2] ? parts.join(" ") : `${parts[0]} ${parts[1]}`;
}

/** `4 s`, `2 min`, `3 h`, `2 d`: how long ago something was. */
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86_400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
}

/** `00:12`, `1:02:03`: a time that runs. */
export function running(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const short = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${short}` : short;
}

/** `1 message`, `2 messages`, `12,345 messages`. */
export function counted(count, noun) {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `12,345`. */
export function grouped(count) {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `north 2, south 1`: how many listen at which node, as the directory says it; nothing of a broker that is on its own. */
export function byNode(nodes, isOurs) {
  const counts = typeof nodes === "object" && nodes !== null ? Object.entries(nodes) : [];
  const told = counts.filter(([, count]) => Number.isFinite(count) && count > 0).map(([node, count]) => `${inline(node, 40)} ${grouped(count)}`);
  return told.length ? `${told.join(", ")}${isOurs ? " (with this page)" : ""}` : "";
}

/** `1.2 MiB`. */
export function size(bytes) {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  let value = bytes;
  while (value >= 1024 && index < names.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${index === 0 ? value : trimmed(value.toFixed(value < 10 ? 1 : 0))} ${names[index]}`;
}

/**
 * A text on one line, with what would move the text around it (control characters, changes of direction) made visible, and what takes no
 * room: two names must not look like one. Joiners stay, which scripts and emoji need.
 */
export function inline(text, most = 1000) {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(/[\n\r\t\u2028\u2029]+/g, " ").replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\u200b\u2060-\u2064\ufeff\u00ad]/g, "\ufffd");
}

/** Whole seconds since 1970 of a time as a message carries it (ISO 8601; one that names no zone is taken as UTC), or null. */
export function timeOf(text) {
  const moment = momentOf(text);
  return moment == null ? null : Math.floor(moment);
}

/** The same with what is behind the second. */
export function momentOf(text) {
  const match = typeof text === "string" && text.length < 64
    && /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|z|[+-]\d\d(?::?\d\d)?)?$/.exec(text);
  if (!match) return null;
  // `+0100`, as strftime's %z has it, and `+01` are `+01:00`.
  const zone = (match[4] ?? "Z").toUpperCase().replace(/^([+-]\d\d):?(\d\d)?$/, (_, hours, minutes) => `${hours}:${minutes ?? "00"}`);
  const time = Date.parse(`${match[1]}T${match[2]}${(match[3] || "").slice(0, 4)}${zone}`);
  return Number.isNaN(time) ? null : time / 1000;
}
