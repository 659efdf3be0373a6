"""The same for asyncio: ``async for event in aio.listen("fit-42")``, ``async with aio.Job("fit-42") as job``.

Listening is done by the event loop. Publishing is as in the rest of the package, where a put does not wait for the broker; only
what may wait, a full queue, ``flush`` and the end, is awaited.
"""

from .listener import Listener, listen
from .publisher import Job, Publisher, RemoteStream

__all__ = ["Job", "Listener", "Publisher", "RemoteStream", "listen"]
