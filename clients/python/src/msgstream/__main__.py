"""``python -m msgstream``: listens and puts where there is Python and no ``msgstream`` program. Where there is one, its other
commands are passed on to it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import msgstream
from msgstream import CutOff, Ended, Header, Lost, Message, RemoteStream, listen
from msgstream.contrib.progress import State, exit_code, missing
from msgstream.contrib.text import inline

#: The commands of the program that are not here.
_ELSEWHERE = ("serve", "run", "header", "close", "delete", "get", "wait", "streams", "top", "token", "health", "config", "bench", "completions", "man", "help")

_USAGE = 64
_REFUSED = 77
_CONFIG = 78


def main(arguments: List[str]) -> int:
    """Runs a command, and gives back the exit code."""
    if arguments and arguments[0] in _ELSEWHERE:
        return _pass_on(arguments)
    given = _parser().parse_args(arguments)
    # All that a client logs is said here anyway.
    logging.getLogger("msgstream").addHandler(logging.NullHandler())
    try:
        if given.command == "put":
            return _put(given.stream, given.message, given.header, given.text, _connecting(given))
        return _listen(given.streams, given.json, _connecting(given))
    except (msgstream.MsgstreamError, OSError, ValueError) as error:
        print(f"msgstream: {error}", file=sys.stderr)
        if isinstance(error, (msgstream.AuthFailed, msgstream.Denied)):
            return _REFUSED
        return _CONFIG if isinstance(error, msgstream.BadConfig) else _USAGE if isinstance(error, ValueError) else 69
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m msgstream",
        description="Listens to streams and puts messages, without the msgstream program. Where that is installed, its other commands "
        f"work here too: {', '.join(_ELSEWHERE[:11])}.",
    )
    parser.add_argument("--version", action="version", version=f"msgstream {msgstream.__version__} (Python)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listening = commands.add_parser("listen", help="show the messages of streams until all have ended")
    listening.add_argument("streams", nargs="+", metavar="STREAM")
    listening.add_argument("--json", action="store_true", help="print JSON, one message a line, as into a pipe")

    putting = commands.add_parser("put", help="send a message, or each line of standard input")
    putting.add_argument("stream", metavar="STREAM")
    putting.add_argument("message", nargs="?", metavar="MESSAGE", help="the message, as JSON")
    putting.add_argument("--text", action="store_true", help="send the message, or each line, as a JSON string")
    putting.add_argument("--header", metavar="JSON", help="make this the stream's header in the same step")

    for command in (listening, putting):
        where = "host:port, tls://host:port or unix:/path; otherwise MSGSTREAM_SERVER, or client.toml, or 127.0.0.1:7342"
        command.add_argument("--server", metavar="ADDR", help=where)
        # Not the token itself: everybody on the machine can see what commands are given.
        whose = (
            "the token is in this file, which others cannot read; otherwise it is MSGSTREAM_TOKEN, or in a file that MSGSTREAM_TOKEN_FILE or "
            "token_file in client.toml names"
        )
        command.add_argument("--token-file", metavar="FILE", type=Path, help=whose)
        command.add_argument("--ca", metavar="FILE", help="with tls://: trust these authorities, instead of those that the system trusts")
        command.add_argument("--certificate", metavar="FILE", help="with tls://: show this certificate to a broker that wants one")
        command.add_argument("--key", metavar="FILE", help="the key of that certificate, unless it is in the same file")
    return parser


def _connecting(given: argparse.Namespace) -> Dict[str, Any]:
    """What clients are told of the connection."""
    return {"server": given.server, "token": given.token_file, "ca": given.ca, "certificate": given.certificate, "key": given.key}


def _listen(streams: List[str], as_json: bool, connecting: Dict[str, Any]) -> int:
    states = {stream: State(stream) for stream in streams}
    as_json = as_json or not sys.stdout.isatty()
    with listen(*streams, **connecting) as events:
        events.when_trouble(_say_trouble)
        for event in events:
            state = states[event.stream]
            said = state.take(event)
            if as_json:
                _print_json(event)
            elif isinstance(event, (Header, Message)) or (said is not None and isinstance(event, Ended)):
                for line in (said or state.summary).split("\n"):
                    print(f"{state.label}: {line}", flush=True)
            if isinstance(event, (CutOff, Lost)):
                _say_loss(event, bool(events.trouble))
    return exit_code(states.values())


def _say_trouble(trouble: Optional[str]) -> None:
    print(f"msgstream: {'connected again' if trouble is None else f'{inline(trouble)}; trying again'}", file=sys.stderr, flush=True)


def _say_loss(event: Union[CutOff, Lost], away: bool) -> None:
    """While the broker is away that is all there is to say."""
    if event.reconnecting and not away:
        print(f"msgstream: {inline(event.stream)}: {missing(event)}: {inline(event.reason)}", file=sys.stderr, flush=True)
    elif not event.reconnecting:
        print(f"msgstream: {inline(event.stream)}: {inline(event.reason)}", file=sys.stderr, flush=True)


def _print_json(event: Any) -> None:
    """As the protocol has it."""
    if isinstance(event, (Header, Message)):
        line = {"action": "put", "stream": event.stream, "message": event.message}
    elif isinstance(event, Ended):
        line = {"action": "close", "stream": event.stream}
        if event.message is not None:
            line["message"] = event.message
    else:
        return
    print(msgstream.codec.encode(line), flush=True)


def _put(stream: str, message: Optional[str], header: Optional[str], text: bool, connecting: Dict[str, Any]) -> int:
    more = {} if header is None else {"header": json.loads(header)}
    wrong = 0
    with RemoteStream(connecting.pop("server"), strict=True, **connecting) as remote:
        for number, line in enumerate([message] if message is not None else sys.stdin, 1):
            line = line.rstrip("\r\n")
            if not line and not text:
                continue
            try:
                remote.put(stream, line if text else json.loads(line), **more)
            except json.JSONDecodeError as error:
                where = "the message" if message is not None else f"line {number}"
                print(f"msgstream: {where} is no JSON: {error}; --text sends it as text", file=sys.stderr)
                wrong += 1
        if not remote.flush():
            print("msgstream: the broker did not confirm in time", file=sys.stderr)
            return 69
    return 65 if wrong else 0


def _pass_on(arguments: List[str]) -> int:
    program = os.environ.get("MSGSTREAM_BIN") or shutil.which("msgstream")
    if program is None:
        print(f"msgstream: {arguments[0]!r} is a command of the msgstream program, which is not installed here", file=sys.stderr)
        return 127
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
