"""A secret in what is pickled. What is pickled may be kept in files, caches and queues, so the secret does not stand in it as it is: only
the processes of this program can read it, those that ``multiprocessing`` and its likes have started from one another."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Optional

_NONCE = 16
_TAG = 32


def seal(secret: str) -> bytes:
    """The secret, for processes of this program."""
    nonce, text = secrets.token_bytes(_NONCE), secret.encode()
    hidden = _mixed(nonce, text)
    return nonce + _tag(nonce + hidden) + hidden


def unseal(sealed: bytes) -> Optional[str]:
    """The secret; None in a process of another program."""
    nonce, tag, hidden = sealed[:_NONCE], sealed[_NONCE : _NONCE + _TAG], sealed[_NONCE + _TAG :]
    if not hmac.compare_digest(tag, _tag(nonce + hidden)):
        return None
    return _mixed(nonce, hidden).decode()


def _mixed(nonce: bytes, text: bytes) -> bytes:
    """The text with a stream of bytes that is never used again; twice is as it was."""
    stream = hashlib.shake_256(_key(b"stream") + nonce).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream))


def _tag(text: bytes) -> bytes:
    return hmac.new(_key(b"tag"), text, "sha256").digest()


def _key(purpose: bytes) -> bytes:
    # Processes are told this when they are started, and nobody else.
    from multiprocessing import process

    return hmac.new(bytes(process.current_process().authkey), b"msgstream token, " + purpose, "sha256").digest()
