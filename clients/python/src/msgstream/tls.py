"""TLS: what connections with it are made with, and what has gone wrong with one."""

from __future__ import annotations

import logging
import os
import stat
import threading
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

from .configuration import SECRET, check_kind, is_secret
from .errors import BadConfig

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("msgstream")

#: The most that one record of TLS has.
_RECORD = 1 << 14

#: With what each record begins: its kind.
_KINDS = (20, 21, 22, 23)

#: That of the first that one sends who refuses the first line of somebody without TLS, or takes it for a beginning.
ANSWERS = (21, 22)


class Failed(OSError):
    """TLS has failed, for a reason that is for people."""


class Secure:
    """TLS on one connection, bytes in, bytes out. Of the socket nothing is known here. One thread may open what comes while another seals what
    goes, and the socket is waited for without a lock."""

    def __init__(self, context: "ssl.SSLContext", host: str) -> None:
        import ssl

        self._wants, self._nothing_more = ssl.SSLWantReadError, ssl.SSLZeroReturnError
        self._come, self._go = ssl.MemoryBIO(), ssl.MemoryBIO()
        # A name may end with a dot, and no certificate has it so.
        self._tls = context.wrap_bio(self._come, self._go, server_hostname=host.rstrip("."))
        self._lock = threading.Lock()
        self._is_new = True
        self._failure: Optional[OSError] = None
        #: The other side has said that nothing more comes.
        self.ended = False
        #: Something may have come together with the end of the handshake.
        self.unread = False

    def shake(self, data: Optional[bytes]) -> Tuple[bytes, bool]:
        """A step of the handshake, with what has come since the last. Returns what is to be sent, and whether it is done. What is then still to be
        sent goes with the first words: one who is turned away for what was shown would else talk to a closed door, and not hear why."""
        if data is not None:
            if not data:
                raise Failed("the connection ended in the handshake of TLS; it wants a certificate of this client, or is no broker with TLS")
            if self._is_new and data[0] not in _KINDS:
                raise without_tls()
            self._is_new = False
            self._come.write(data)
        try:
            self._tls.do_handshake()
        except self._wants:
            return self._go.read(), False
        self.unread = True
        return b"", True

    def seal(self, data: memoryview) -> bytes:
        """What is to be sent for these bytes."""
        with self._lock:
            self._tls.write(data)
            return self._go.read()

    def open(self, data: Optional[bytes]) -> bytes:
        """What these bytes say, which is nothing as long as more must come. At the end of the connection ``ended`` is set."""
        parts: List[bytes] = []
        with self._lock:
            self.unread = False
            if self._failure is not None:
                raise self._failure
            if data == b"":
                # Whether that was said before, or not, as if the network had failed, the broker's own words say.
                self.ended = True
            elif data:
                self._come.write(data)
            try:
                while True:
                    part = self._tls.read(_RECORD)
                    if not part:
                        self.ended = True
                        break
                    parts.append(part)
            except self._wants:
                pass
            except self._nothing_more:
                # How that is told to one who has said so before.
                self.ended = True
            except OSError as error:
                # What was said before that counts.
                if not parts:
                    raise
                self._failure, self.unread = error, True
        return b"".join(parts)

    def rest(self) -> bytes:
        """What is to be sent before the connection is given up: what was wrong."""
        return self._go.read()

    def end(self) -> bytes:
        """What is to be sent to say that nothing more comes. Nothing if that is not to be found out without waiting."""
        if not self._lock.acquire(blocking=False):
            return b""
        try:
            try:
                self._tls.unwrap()
            except (OSError, ValueError):
                # The other side has not said so yet, or the connection has failed.
                pass
            return self._go.read()
        finally:
            self._lock.release()


def trusted_by_the_system() -> Tuple[Optional[str], Optional[str]]:
    """Where the authorities are that the system trusts: a file, and a folder."""
    import ssl

    found = ssl.get_default_verify_paths()
    return found.cafile, found.capath


def context(ca: Optional[str], certificate: Optional[str], key: Optional[str]) -> "ssl.SSLContext":
    """What connections are made with: TLS 1.2 and up, to brokers whose certificates are from an authority in ``ca``, or one that the system
    trusts, and for the name that they are called by. Raises BadConfig."""
    import ssl

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Else what one reads could make one write.
    made.options |= ssl.OP_NO_RENEGOTIATION
    if ca is None:
        made.load_default_certs()
    else:
        _try_to("there are no certificates", ca, lambda: made.load_verify_locations(**{"capath" if os.path.isdir(ca) else "cafile": ca}))
    if certificate is None:
        if key is not None:
            raise BadConfig(f"the key {key} is of no use without the certificate that it belongs to")
    else:
        _try_to("there is no certificate", certificate, lambda: made.load_cert_chain(certificate, key or certificate, _no_password), key)
        _warn_of(key or certificate)
    return made


def _try_to(what: str, path: str, load: Callable[[], object], key: Optional[str] = None) -> None:
    import ssl

    for each in (path, key):
        try:
            if each is not None and not os.path.isdir(each):
                check_kind(each, os.stat(each).st_mode)
                open(each, "rb").close()
        except OSError as error:
            raise BadConfig(SECRET if is_secret(each or "") else f"cannot read {each}: {error.strerror}") from None
    try:
        load()
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadConfig(f"the key in {key or path} does not belong to the certificate in {path}") from None
        raise BadConfig(f"{what} in {path}{'' if key is None else f', or no key in {key}'}, as PEM") from None


def _no_password() -> str:
    raise BadConfig("the key of the certificate has a password; take that off, and let nobody else read the file")


def _warn_of(path: str) -> None:
    if os.name == "posix" and os.stat(path).st_mode & (stat.S_IROTH | stat.S_IWOTH):
        log.warning("everybody on this machine can read or write the key in %s: chmod 600 %s", path, path)


def without_tls() -> Failed:
    """The other side does not speak TLS."""
    return Failed('it speaks no TLS there; leave "tls://" away, or name the port where it does')


#: Why a certificate is not trusted, by what OpenSSL calls it: those of unknown authorities, and others.
_UNKNOWN = (2, 18, 19, 20, 21)
_TIMES = {9: "is not valid yet", 10: "has expired"}
_NAMES = (62, 64)

#: What else OpenSSL says, by parts of it.
_WITHOUT = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_VERSIONS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")
_WANTED = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
_OWN = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "CERTIFICATE_UNKNOWN", "ACCESS_DENIED")


def explained(error: OSError, host: str, ca: Optional[str], certificate: Optional[str]) -> OSError:
    """What has gone wrong, and what helps, if it has to do with TLS."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return Failed(_untrusted(error.verify_code, error.verify_message, host, ca))
    if not isinstance(error, ssl.SSLError):
        return error
    reason = error.reason or ""
    if any(each in reason for each in _WITHOUT):
        return without_tls()
    if any(each in reason for each in _VERSIONS):
        return Failed("it speaks neither TLS 1.2 nor 1.3")
    if "ALERT" in reason and certificate is None and any(each in reason for each in _WANTED):
        return Failed('it wants a certificate of this client: give "certificate" and "key"')
    if "ALERT" in reason and certificate is not None and any(each in reason for each in _WANTED + _OWN):
        return Failed(f"it does not accept the certificate in {certificate} ({reason}); its log says why")
    return Failed(f"TLS has failed: {reason or error.strerror or error}")


def _untrusted(code: int, message: str, host: str, ca: Optional[str]) -> str:
    if code in _TIMES:
        return f"its certificate, or one that vouches for it, {_TIMES[code]}; whoever runs the broker can renew it, if the clock here is right"
    if code in _NAMES:
        return f"its certificate is not for {host!r}; use a name that it is for, or have one made for this"
    if code in _UNKNOWN and ca is None:
        return f'its certificate is from nobody whom this system trusts ({message}); give the authority\'s own as "ca"'
    if code in _UNKNOWN:
        return f"its certificate is from none of the authorities in {ca} ({message})"
    return f"its certificate cannot be trusted: {message}"
