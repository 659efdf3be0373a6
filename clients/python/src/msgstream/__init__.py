"""Progress streams of long-running jobs.

A job publishes to a named stream of a broker, and any number of listeners follow it, joining when they like:

    with Job("fit-42", total=100) as job:          for event in listen("fit-42"):
        for k in range(100):                           print(event)
            job.progress(k + 1)

Where the broker is, is said by the argument ``server``, or by the variable MSGSTREAM_SERVER, or by the file ``client.toml`` of the
user (``~/.config/msgstream/``) or the system (``/etc/msgstream/``), or it is ``127.0.0.1:7342``. With ``tls://`` before it, the connection
is encrypted. The token for a broker that wants one is in MSGSTREAM_TOKEN, or in a file that ``client.toml`` names, or is the argument ``token``.

``codec`` turns messages into JSON text and back. An object with ``encode(message)`` and ``decode(text)``, or a class with these as
static methods, may be put in its place before clients are made, or given to one of them.
"""

from typing import TYPE_CHECKING, Any

from . import monitor, serial
from .address import Address
from .encoding import Codec, JsonCodec, Nan
from .errors import AuthFailed, BadAddress, BadConfig, BrokerError, Closed, Denied, Disconnected, EncodeError, MsgstreamError, Stale
from .events import AnyEvent, CutOff, Ended, Event, Header, Lost, Message, Skipped, Undecodable, is_last
from .job import Job
from .listener import Listener, listen
from .options import Options
from .publisher import Publisher
from .remote import RemoteStream

__version__ = "0.1.0"

codec: Codec = JsonCodec()

if TYPE_CHECKING:
    from . import aio


def __getattr__(name: str) -> Any:
    """``msgstream.aio`` is loaded when it is used: asyncio takes as long to load as all the rest."""
    if name != "aio":
        raise AttributeError(f"module 'msgstream' has no attribute {name!r}")
    import importlib

    return importlib.import_module("msgstream.aio")


__all__ = [
    "Address",
    "AnyEvent",
    "AuthFailed",
    "BadAddress",
    "BadConfig",
    "BrokerError",
    "Closed",
    "Codec",
    "CutOff",
    "Denied",
    "Disconnected",
    "EncodeError",
    "Ended",
    "Event",
    "Header",
    "Job",
    "JsonCodec",
    "Listener",
    "Lost",
    "Message",
    "MsgstreamError",
    "Nan",
    "Options",
    "Publisher",
    "RemoteStream",
    "Skipped",
    "Stale",
    "Undecodable",
    "aio",
    "codec",
    "is_last",
    "listen",
    "monitor",
    "serial",
]
