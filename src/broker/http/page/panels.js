// What is shown in place of something: no streams, a directory that may not be seen, a token that is asked for.

import { el, say, show } from "./dom.js";

/** No streams, or none that is looked for. */
export class EmptyPanel {
  constructor() {
    this.title = el("h2");
    this.text = el("p");
    this.code = el("pre", { tabindex: 0 }, el("code", {}, "msgstream run my-job -- ./job"));
    this.python = el("p", {}, "or from Python:");
    this.codePython = el("pre", { tabindex: 0 }, el("code", {}, "from msgstream import Job\n\nwith Job(\"my-job\", total=100) as job:\n    for k in range(100):\n        job.progress(k + 1)"));
    this.element = el("section", { class: "panel", hidden: true }, this.title, this.text, this.code, this.python, this.codePython);
  }

  update({ isShown, isBare, view }) {
    show(this.element, isShown);
    if (!isShown) return;
    for (const part of [this.code, this.python, this.codePython]) show(part, isBare);
    say(this.title, isBare ? "No streams yet" : "No stream fits");
    const sought = [view.search && `“${view.search}”`, view.prefix && `names that begin with “${view.prefix}”`, view.state !== "all" && `the state “${view.state}”`].filter(Boolean);
    say(this.text, isBare ? "A job appears here as soon as it says its first word:" : `Nothing is there for ${sought.join(", ")}. Esc clears the search and the filters.`);
  }
}

/** The directory is denied: a stream can be opened by its name, and those of a prefix may be allowed. */
export class DeniedPanel {
  constructor(app) {
    this.reason = el("p", { class: "reason" });
    const name = el("input", { type: "text", name: "stream", "aria-label": "Name of a stream", placeholder: "Name of a stream", required: true, spellcheck: "false", autocapitalize: "off" });
    const prefix = el("input", { type: "text", name: "prefix", "aria-label": "Beginning of names", placeholder: "Beginning of names, such as fit-", required: true, spellcheck: "false", autocapitalize: "off" });
    this.element = el("section", { class: "panel denied", hidden: true },
      el("h2", {}, "The list of all streams is not open to you"), this.reason,
      el("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); app.go({ ...app.view, streams: [name.value] }); } }, name, el("button", { class: "primary" }, "Open")),
      el("p", {}, "If your token is for the streams with a certain beginning, their list may be open to you:"),
      el("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); app.go({ ...app.view, prefix: prefix.value }); } }, prefix, el("button", {}, "List")));
  }

  update(denied) {
    show(this.element, denied != null);
    if (denied) say(this.reason, `The broker says: ${denied.reason ?? denied.code ?? "denied"}`);
  }
}

/** Asks for a token. */
export class TokenPanel {
  constructor(given) {
    this.reason = el("p", { class: "reason", id: "why" });
    this.field = el("input", { type: "password", "aria-label": "Token", "aria-describedby": "why", placeholder: "mst_…", autocomplete: "off", spellcheck: "false", required: true });
    this.dialog = el("dialog", { class: "token", "aria-labelledby": "token-title" },
      el("form", { onsubmit: (event) => { event.preventDefault(); this.dialog.close(); given(this.field.value.trim()); this.field.value = ""; } },
        el("h2", { id: "token-title" }, "Who are you?"), this.reason, this.field,
        el("p", { class: "hint" }, "It is kept until this tab is closed, and nowhere else. ", el("code", {}, "msgstream token"), " makes one."),
        el("button", { class: "primary" }, "Go on")));
  }

  /** Shows the form if the broker wants to know, with its reason. */
  update(isWanted, reason) {
    if (!isWanted) return;
    say(this.reason, reason ? `The broker says: ${reason}` : "The broker asks for a token.");
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.field.focus();
    }
  }
}
