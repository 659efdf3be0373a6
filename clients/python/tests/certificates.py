"""Certificates, made for the test that needs them."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import List, Optional, Tuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate and its key, in files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate, self.key = certificate, key

    @property
    def files(self) -> "dict[str, str]":
        """As arguments of a client."""
        return {"certificate": str(self.certificate), "key": str(self.key)}


class Authority:
    """Makes certificates that whoever trusts ``file`` accepts."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, subject, self._key.public_key(), _days(0, 30))
        self._certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def make(
        self, name: str, names: Tuple[str, ...] = ("localhost", "127.0.0.1"), since: int = 0, days: int = 30, password: Optional[bytes] = None
    ) -> Certificate:
        """One for these names or addresses, for so many days from ``since`` on, which counts in days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self._certificate.subject, key.public_key(), _days(since, days))
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general, names))), False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = builder.add_extension(x509.ExtendedKeyUsage(usages), False).sign(self._key, hashes.SHA256())
        certificate, key_file = self._folder / f"{self._name}-{name}.pem", self._folder / f"{self._name}-{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        hides = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
        key_file.touch(mode=0o600)
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hides))
        return Certificate(certificate, key_file)


def serving(certificate: Certificate, clients: "Optional[Authority]" = None, oldest: bool = False) -> ssl.SSLContext:
    """What a server with this certificate is made with; with ``clients`` it wants certificates of theirs, and the ``oldest`` TLS that clients
    take is the newest that it has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    if clients is not None:
        context.load_verify_locations(clients.file)
        context.verify_mode = ssl.CERT_REQUIRED
    if oldest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: "List[datetime.datetime]") -> x509.CertificateBuilder:
    begun = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
    return begun.not_valid_before(valid[0]).not_valid_after(valid[1])


def _days(since: int, count: int) -> "List[datetime.datetime]":
    # An hour earlier, for clocks that are not the same.
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1) + since * _DAY
    return [begin, begin + count * _DAY]


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
