"""Checks of folders and files: where the gateway writes, and what TLS needs."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from edge_runtime.gateway.check_finding import Finding, fine, note, wrong
from edge_runtime.gateway.config import TLS, Storage
from edge_runtime.gateway.config_file import journal_folder
from edge_runtime.gateway.store_open import LOCK

JOURNAL_MB = 8
"""What the journal may take at its peak, about."""
IN_MEMORY = ("tmpfs", "ramfs")
SOON_DAYS = 30
"""A certificate that ends within so many days is worth a word."""


def storage_findings(storage: Storage) -> list[Finding]:
    """Whether the folder can be made and written to, and has room."""
    fault, free_mb = _writable(storage.folder)
    if fault:
        return [wrong("storage", fault)]
    needed_mb = max(0.0, storage.max_mb - _size_mb(storage.folder))
    if free_mb < needed_mb:
        text = f"{storage.folder}: {free_mb:.0f} MB are free, and it may come to need {needed_mb:.0f} more (max_mb)"
        return [wrong("storage", text)]
    made = "" if os.path.isdir(storage.folder) else ", will be made"
    return [fine("storage", f"{storage.folder}: can be written{made}, {free_mb:.0f} MB free")]


def journal_findings(storage: Storage) -> list[Finding]:
    """Whether the journal has a place, and what kind of disk that is."""
    folder = journal_folder(storage)
    fault, free_mb = _writable(folder)
    if fault:
        return [wrong("journal", fault)]
    if free_mb < JOURNAL_MB:
        return [wrong("journal", f"{folder}: {free_mb:.0f} MB are free, expected {JOURNAL_MB}")]
    mount = mount_of(_existing(folder), _mounts())
    if mount is None:
        return [note("journal", f"{folder}: can be written; what kind of disk it is on is not known")]
    if mount.kind in IN_MEMORY:
        return [fine("journal", f"{folder}: in memory ({mount.kind})")]
    card = (
        "an SD card, which every reading wears" if "mmcblk" in mount.device else "a disk, and every reading is written"
    )
    hint = "systemd gives one in memory ($RUNTIME_DIRECTORY), or set journal_folder"
    return [note("journal", f"{folder}: on {card} ({mount.kind} on {mount.device}); {hint}")]


def is_running(folder: str) -> bool:
    """Whether a gateway holds the storage folder now."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with open(os.path.join(folder, LOCK), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _existing(folder: str) -> str:
    """The folder, or the nearest above it that is there."""
    while not os.path.exists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def _writable(folder: str) -> tuple[str | None, float]:
    """Why a file cannot be made there, or in the nearest folder above that is there; and the MB that are free."""
    place = _existing(os.path.abspath(folder))
    if not os.path.isdir(place):
        return f"{folder}: expected a folder, but {place} is none", 0.0
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
        return None, shutil.disk_usage(place).free / 2**20
    except OSError as fault:
        of = "" if place == os.path.abspath(folder) else f" in {place}"
        return f"{folder}: cannot be {'written' if not of else 'made'}{of}: {fault.strerror}", 0.0


def _size_mb(folder: str) -> float:
    """What the files in a folder take."""
    try:
        with os.scandir(folder) as entries:
            return sum(each.stat().st_size for each in entries if each.is_file(follow_symlinks=False)) / 2**20
    except OSError:
        return 0.0


class Mount(NamedTuple):
    """A file system, where it is mounted."""

    device: str
    place: str
    kind: str


def _mounts() -> list[Mount]:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            fields = [line.split(" ") for line in file]
    except OSError:
        return []
    return [Mount(each[0], each[1].replace("\\040", " "), each[2]) for each in fields if len(each) > 2]


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """The file system that holds `path`; of two at one place the later covers the other."""
    real = os.path.realpath(path)
    holding = [each for each in mounts if each.place == "/" or f"{real}/".startswith(f"{each.place}/")]
    return max(reversed(holding), key=lambda each: len(each.place), default=None)


def tls_findings(tls: TLS) -> list[Finding]:
    """Whether the files of TLS can be read, go together, and hold certificates that are valid now."""
    findings = (
        []
        if tls.verify
        else [note("tls", "verify = false: anyone between here and the broker can read and change all")]
    )
    context = ssl.create_default_context()
    if tls.ca_file is not None:
        findings += _loaded(tls.ca_file, lambda: context.load_verify_locations(tls.ca_file))
    if tls.cert_file is not None:
        # An empty password: a key that has one would ask the terminal for it.
        findings += _loaded(
            tls.cert_file,
            lambda: context.load_cert_chain(str(tls.cert_file), tls.key_file, password=""),
            tls.key_file or "",
        )
    return findings


def _loaded(path: str, load: Callable[[], None], key: str | None = None) -> list[Finding]:
    what = f"{path} with {key}" if key else path
    try:
        load()
    except ssl.SSLError as fault:
        return [wrong("tls", f"{what}: {_tls_fault(fault)}")]
    except (OSError, ValueError) as fault:
        return [wrong("tls", f"{what}: cannot be read: {getattr(fault, 'strerror', None) or fault}")]
    try:
        periods = [validity(each) for each in _certificates(path)]
        # Of the gateway's own chain its first certificate counts; of several to trust the one that lasts longest.
        start, end = periods[0] if key is not None else max(periods, key=lambda period: period[1])
    except (ValueError, IndexError, OSError):
        return [note("tls", f"{what}: can be used; until when is not known")]
    return [_validity_finding(what, start, end)]


def _tls_fault(fault: ssl.SSLError) -> str:
    if fault.reason == "KEY_VALUES_MISMATCH":
        return "the key is not the certificate's"
    return (fault.reason or str(fault)).replace("_", " ").lower()


def _validity_finding(what: str, start: datetime, end: datetime) -> Finding:
    now = datetime.now(UTC)
    if now >= end:
        return wrong("tls", f"{what}: the certificate expired on {end:%Y-%m-%d}")
    if now < start:
        return wrong(
            "tls", f"{what}: the certificate is valid from {start:%Y-%m-%d}, and this board's clock says {now:%Y-%m-%d}"
        )
    if (end - now).days < SOON_DAYS:
        return note("tls", f"{what}: the certificate expires on {end:%Y-%m-%d}, in {(end - now).days} days")
    return fine("tls", f"{what}: valid until {end:%Y-%m-%d}")


def _certificates(path: str) -> Iterator[bytes]:
    """The DER of each certificate in a PEM file."""
    with open(path, encoding="ascii", errors="replace") as file:
        text = file.read()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for part in text.split(begin)[1:]:
        yield ssl.PEM_cert_to_DER_cert(f"{begin}{part.split(end)[0]}{end}\n")


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """From when until when a certificate (DER) is valid: RFC 5280, section 4.1. Raises `ValueError`, `IndexError` for other bytes.

    The standard library reads this of certificates that a peer shows, and of none in a file.
    """
    ((_, body),) = _fields(certificate)
    (_, signed), *_ = _fields(body)
    fields = [content for tag, content in _fields(signed) if tag != 0xA0]  # without the version
    start, end = (_der_time(*each) for each in _fields(fields[3]))
    return start, end


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER value."""
    place = 0
    while place < len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[place : place + size], "big")
            place += size
        yield tag, data[place : place + length]
        place += length


def _der_time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == 0x17:  # UTCTime, two digits of the year
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
