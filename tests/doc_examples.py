#!/usr/bin/env python3
"""Checks that every public item of the crate has an example, which `cargo test --doc` compiles and runs.

Types, traits and functions have one of their own, and so has the crate. A method, a type's or trait's function, has its own or
is called in one that stands on the same page: that of its type, or of another method. What a type consists of belongs to it,
and what a module holds has examples, so that the module needs none. Every example states something: an assertion, or a
pattern that must match.

    tests/doc_examples.py [-v]

Reads rustdoc's description of the crate, an unstable form. Where this toolchain writes another form than this program reads, it
says so and ends with 99: skipped.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

FENCE = re.compile(r"^\s*```([^\n`]*)\n(.*?)^\s*```\s*$", re.MULTILINE | re.DOTALL)
NOT_RUN = {"text", "ignore", "no_run", "compile_fail", "json", "toml", "console", "sh", "bash", "python", "none"}
STATES = re.compile(r"\bassert|\bpanic!|\bunwrap|\bexpect")

#: What an item is, its documentation, and all of the page that it stands on.
Item = namedtuple("Item", "path kind name docs page")
METHODS = ("struct", "enum", "union", "trait")
WITH_EXAMPLE = (*METHODS, "function", "constant", "static", "macro", "type_alias", "assoc_const")


def examples(docs):
    """The code of the examples in a documentation that are run."""
    for tags, code in FENCE.findall(docs or ""):
        if not {tag.strip() for tag in tags.split(",")} & NOT_RUN:
            yield code


def describe():
    """rustdoc's description of the crate."""
    command = ["cargo", "rustdoc", "--lib", "--locked", "--quiet", "--", "-Z", "unstable-options", "--output-format", "json"]
    with tempfile.TemporaryDirectory() as folder:
        # rustdoc alone is to take unstable options: were the compiler told so, everything would be compiled anew.
        wrapper = Path(folder, "rustdoc")
        wrapper.write_text(f'#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec {shlex.quote(os.environ.get("RUSTDOC", "rustdoc"))} "$@"\n')
        wrapper.chmod(0o755)
        subprocess.run(command, env={**os.environ, "RUSTDOC": str(wrapper)}, check=True)
    metadata = subprocess.run(["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"], stdout=subprocess.PIPE, check=True)
    return json.loads(Path(json.loads(metadata.stdout)["target_directory"], "doc", "msgstream.json").read_bytes())


def items(crate):
    """Every public item, once."""
    index, seen = crate["index"], set()

    def of(ident):
        return index.get(str(ident))

    def methods(entry, inner):
        """What belongs to a type or trait and has a documentation of its own."""
        if "trait" in entry["inner"]:
            idents = inner["items"]
        else:
            blocks = [block["inner"]["impl"] for block in map(of, inner["impls"]) if block]
            idents = [ident for block in blocks if block["trait"] is None for ident in block["items"]]
        return [item for item in map(of, idents) if item and item["visibility"] in ("public", "default")]

    def visit(ident, path):
        entry = of(ident)
        # What another crate defines is documented there.
        if entry is None or ident in seen:
            return
        (kind, inner), = entry["inner"].items()
        if kind == "use":
            yield from visit(inner["id"], path)
            return
        seen.add(ident)
        here, docs = f"{path}::{entry['name']}".lstrip(":"), entry["docs"] or ""
        if kind == "module":
            if not path:
                yield Item(here, "crate", entry["name"], docs, docs)
            for child in inner["items"]:
                yield from visit(child, here)
        elif kind in METHODS:
            parts = methods(entry, inner)
            page = "\n".join([docs, *(part["docs"] or "" for part in parts)])
            yield Item(here, kind, entry["name"], docs, docs)
            for part in parts:
                (part_kind, _), = part["inner"].items()
                if part_kind in WITH_EXAMPLE:
                    yield Item(f"{here}::{part['name']}", part_kind, part["name"], part["docs"] or "", page)
        elif kind in WITH_EXAMPLE:
            yield Item(here, kind, entry["name"], docs, docs)

    return list(visit(crate["root"], ""))


def fault(item):
    """What an item lacks; None if nothing."""
    own = list(examples(item.docs))
    if own:
        return None if any(STATES.search(code) for code in own) else "has an example that states nothing"
    # Called, or written by whoever implements a trait.
    used = re.compile(rf"(?:\.|::|\bfn |\bconst ){re.escape(item.name)}\b")
    if any(used.search(code) and STATES.search(code) for code in examples(item.page)):
        return None
    return "has no example"


def main():
    try:
        crate = describe()
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)} failed"
    try:
        found = items(crate)
    except (KeyError, TypeError, ValueError) as error:
        print(f"rustdoc's description has another form here (version {crate.get('format_version')}): {error!r}: skipped")
        return 99
    faults = [(item, fault(item)) for item in found]
    for item, lack in faults:
        if lack:
            print(f"{item.kind} {item.path} {lack}")
        elif "-v" in sys.argv[1:]:
            print(f"{item.kind} {item.path}: ok")
    lacking = sum(1 for _, lack in faults if lack)
    print(f"{len(found)} public items, {len(found) - lacking} with an example that is run")
    # A description in which nothing is found would pass.
    return 1 if lacking or len(found) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
