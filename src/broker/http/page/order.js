// Which streams a list shows, and in which order. Knows no document.

import { STATES } from "./job.js";

/** What the list can be sorted by, in words. */
export const SORTS = { standing: "state", name: "name", latest: "last heard", messages: "messages", listeners: "listeners", progress: "progress" };

/** What a filter by state lets through. */
export const FILTERS = {
  all: () => true, running: (word) => word === "running", waiting: (word) => word === "waiting",
  trouble: (word) => word === "failed" || word === "lost" || word === "aborted", done: (word) => word === "done" || word === "ended",
};
for (const state of STATES) FILTERS[state] ??= (word) => word === state;

/** Whether an entry is looked for: all words of the search are in its name or title. */
export function matches(entry, view, words = wordsOf(view.search)) {
  if (view.prefix && !entry.name.startsWith(view.prefix)) return false;
  if (!(FILTERS[view.state] ?? FILTERS.all)(entry.word)) return false;
  if (words.length === 0) return true;
  const text = `${entry.name} ${entry.title ?? ""}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** A search is for all of its words. */
export function wordsOf(search) {
  return search.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Running ones first, then those waited for, then the ended ones, the newest first: as few as possible change places. */
const STANDING = { running: 0, waiting: 1 };

const BY = {
  standing: (a, b) => (STANDING[a.word] ?? 2) - (STANDING[b.word] ?? 2) || ((STANDING[a.word] ?? 2) === 2 ? b.latest - a.latest : 0),
  name: () => 0,
  latest: (a, b) => b.latest - a.latest,
  messages: (a, b) => b.messages - a.messages,
  listeners: (a, b) => b.listeners - a.listeners,
  progress: (a, b) => (b.share ?? -1) - (a.share ?? -1),
};

const names = new Intl.Collator("en", { numeric: true });
/** With more streams than this, names stand by their characters alone, which is many times faster. */
const MANY = 20_000;

/** Gives each entry its place among all names, of which `fit-2` comes before `fit-10`: worth doing once, not each time. */
export function ranked(entries) {
  const all = [...entries];
  const plain = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  all.sort(all.length > MANY ? plain : (a, b) => names.compare(a.name, b.name) || plain(a, b));
  all.forEach((entry, index) => { entry.rank = index; });
}

/** The entries that a view shows, sorted. Equal ones stand by the rank of their names. */
export function arranged(entries, view) {
  const words = wordsOf(view.search);
  const shown = [];
  for (const entry of entries) if (matches(entry, view, words)) shown.push(entry);
  const by = BY[view.sort] ?? BY.standing;
  shown.sort((a, b) => by(a, b) || a.rank - b.rank);
  return view.isReversed ? shown.reverse() : shown;
}

/** How many there are of each state among those that prefix and search let through: {all, running, ...}. */
export function tally(entries, view) {
  const counts = { all: 0, trouble: 0 };
  for (const state of STATES) counts[state] = 0;
  const words = wordsOf(view.search);
  for (const entry of entries) {
    if (!matches(entry, { ...view, state: "all" }, words)) continue;
    counts.all += 1;
    counts[entry.word] = (counts[entry.word] ?? 0) + 1;
    if (FILTERS.trouble(entry.word)) counts.trouble += 1;
  }
  return counts;
}
