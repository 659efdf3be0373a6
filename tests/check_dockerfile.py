"""Checks what can be known of the Dockerfile without building it: prints what is wrong and exits with 1."""

import fnmatch
import json
import pathlib
import re
import sys
import tomllib


def instructions(text):
    """The instructions as (name, arguments), continued lines joined and comments left out."""
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, arguments = line.strip().partition(" ")
            yield name.upper(), arguments.strip()


def version(text):
    return tuple(int(part) for part in text.split("."))


def is_ignored(path, patterns):
    """Whether .dockerignore leaves a path out: the last pattern that fits decides."""
    ignored = False
    for pattern in patterns:
        wanted = pattern.startswith("!")
        pattern = pattern.lstrip("!").rstrip("/")
        if fnmatch.fnmatch(path, pattern) or path.startswith(pattern + "/"):
            ignored = not wanted
    return ignored


def stripped(manifest, command):
    """The manifest as the Dockerfile's sed leaves it: without what follows the line that it names."""
    found = re.search(r"sed -i '/\^(\S+)\$?/,\$d' Cargo\.toml", command)
    first = found.group(1).replace("\\", "") if found else None
    kept = []
    for line in manifest.splitlines():
        if first and line.startswith(first):
            break
        kept.append(line)
    return "\n".join(kept)


def explicit_targets(manifest):
    """The files that the manifest names as targets: without them cargo refuses it."""
    for kind, folder in (("bin", "src/bin"), ("bench", "benches"), ("example", "examples"), ("test", "tests")):
        for target in manifest.get(kind, []):
            yield target.get("path", f"{folder}/{target['name']}.rs")


def faults(root):
    text = (root / "Cargo.toml").read_text()
    manifest = tomllib.loads(text)
    built = manifest
    lines = (root / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    stages, copied, last = [], [], {}
    for name, arguments in instructions((root / "Dockerfile").read_text()):
        words = arguments.split()
        if name == "FROM":
            image, _, tag = words[0].partition(":")
            if image not in stages and tag in ("", "latest"):
                yield f"the image {words[0]} has no version"
            if image == "rust":
                rust = re.match(r"[\d.]+", tag)
                if not rust or version(rust.group()) < version(manifest["package"]["rust-version"]):
                    yield f"{words[0]} is older than rust-version in Cargo.toml"
            stages.append(words[2] if len(words) == 3 else f"stage {len(stages)}")
            last = {}
        elif name in ("COPY", "ADD"):
            options = [word for word in words if word.startswith("--")]
            origin = [option.removeprefix("--from=") for option in options if option.startswith("--from=")]
            sources = [word for word in words if not word.startswith("--")][:-1]
            if origin and origin[0] not in stages[:-1]:
                yield f"COPY from {origin[0]}, which is no earlier stage"
            for source in sources if not origin else []:
                copied.append(source.rstrip("/"))
                if not list(root.glob(source)):
                    yield f"COPY {source}: there is no such file"
                elif is_ignored(source, patterns):
                    yield f"COPY {source}: .dockerignore leaves it out"
        elif name == "RUN" and "sed -i" in arguments:
            built = tomllib.loads(stripped(text, arguments))
        elif name in ("ENTRYPOINT", "CMD") and not isinstance(json_or_none(arguments), list):
            yield f"{name} is not a JSON list, so that a shell would stand between the signals and the broker"
        last[name] = arguments
    for part in ("package", "features", "dependencies", "target", "profile", "bin", "lib", "lints"):
        if built.get(part) != manifest.get(part):
            yield f"[{part}] is not whole in the manifest that the image is built with"
    for target in explicit_targets(built):
        if not any(target == path or target.startswith(path + "/") for path in copied):
            yield f"{target} stands in Cargo.toml and is not copied, so that cargo would refuse to build"
    if last.get("USER", "root").split(":")[0] in ("root", "0"):
        yield "the program would run as root"
    if "msgstream health" not in last.get("HEALTHCHECK", ""):
        yield "there is no HEALTHCHECK with msgstream health"
    for name, wanted in (("EXPOSE", "7342"), ("STOPSIGNAL", "SIGTERM"), ("ENTRYPOINT", '["msgstream"]')):
        if last.get(name) != wanted:
            yield f"{name} is {last.get(name)}, not {wanted}"


def json_or_none(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def main():
    found = list(faults(pathlib.Path(__file__).resolve().parent.parent))
    for fault in found:
        print(f"Dockerfile: {fault}")
    sys.exit(1 if found else 0)


main()
