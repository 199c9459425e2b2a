"""Reads the gateway's configuration, and the password that is not in it."""

from __future__ import annotations

import os
import stat
import tomllib
from typing import Any, NamedTuple, TypeVar

from edge_runtime.errors import InputError, SchemaError
from edge_runtime.gateway.config import MQTT, GatewayConfig, Storage
from edge_runtime.record import Record
from edge_runtime.schema import decode

LARGEST_FILE = 2**20
"""A configuration larger than this (bytes) is not read."""
LARGEST_PASSWORD = 65_535
"""Bytes: what MQTT can carry."""

R = TypeVar("R", bound=Record)


def read_config(path: str | os.PathLike[str]) -> GatewayConfig:
    """Read and check a configuration; its relative paths are made absolute, from the folder it is in.

    Raises `SchemaError` that names the file and the place of the fault.
    """
    source = os.fspath(path)
    try:
        with open(source, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        raise SchemaError(source, "$", f"cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    return resolved(parse_config(text, source), os.path.dirname(os.path.abspath(source)))


def parse_config(text: bytes, source: str) -> GatewayConfig:
    """Decode the bytes of a TOML configuration; `source` names it in messages. Raises `SchemaError`."""
    if len(text) > LARGEST_FILE:
        raise SchemaError(source, "$", f"expected at most {LARGEST_FILE} bytes, got a larger file")
    try:
        data = tomllib.loads(text.decode())
    except UnicodeDecodeError as fault:
        raise SchemaError(source, "$", f"expected UTF-8 text, got the byte {text[fault.start]:#04x}") from None
    except (
        ValueError,
        RecursionError,
    ) as fault:  # TOMLDecodeError is a ValueError, as are dates and numbers out of range
        raise SchemaError(source, "$", f"expected TOML, got: {fault}") from None
    mqtt = data.get("mqtt")
    if isinstance(mqtt, dict) and "password" in mqtt:
        raise SchemaError(
            source,
            "$.mqtt.password",
            "expected no password in this file: name an environment variable in password_env or a file in password_file",
        )
    try:
        return decode(GatewayConfig, data, source)
    except (ValueError, RecursionError) as fault:  # a number with more digits than Python writes out
        raise SchemaError(source, "$", f"cannot be used: {fault}") from None


def resolved(config: GatewayConfig, folder: str) -> GatewayConfig:
    """The same with relative paths taken from `folder`."""
    groups = tuple(
        _from(folder, group, "bundle") if group.lines == "-" else _from(folder, group, "bundle", "lines")
        for group in config.groups
    )
    mqtt = config.mqtt
    if mqtt is not None:
        tls = None if mqtt.tls is None else _from(folder, mqtt.tls, "ca_file", "cert_file", "key_file")
        mqtt = _from(folder, mqtt.replaced(tls=tls), "password_file")
    storage = _from(folder, config.storage, "folder", "journal_folder")
    return config.replaced(groups=groups, mqtt=mqtt, storage=storage)


def _from(folder: str, record: R, *keys: str) -> R:
    given = {key: getattr(record, key) for key in keys}
    changes: dict[str, Any] = {
        key: os.path.normpath(os.path.join(folder, path)) for key, path in given.items() if path is not None
    }
    return record.replaced(**changes)


def journal_folder(storage: Storage) -> str:
    """Where the journal is: as configured, else `$RUNTIME_DIRECTORY` (the first, if systemd gives several), else the storage folder."""
    return storage.journal_folder or os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or storage.folder


class Secret(NamedTuple):
    """The broker's password. It does not show when it is printed."""

    value: str | None
    """None: the broker asks for none."""
    warning: str | None = None
    """What a person should change about where it is kept."""

    def __repr__(self) -> str:
        return f"Secret(value={'None' if self.value is None else '***'}, warning={self.warning!r})"


def secret(mqtt: MQTT) -> Secret:
    """The password from the environment or its file, read now. Raises `InputError` that names where it should have been."""
    if mqtt.password_env is not None:
        password = os.environ.get(mqtt.password_env)
        if not password:
            state = "is not set" if password is None else "is empty"
            raise InputError(
                f"mqtt.password_env: expected a password, the environment variable {mqtt.password_env} {state}"
            )
        return Secret(_usable(password, f"mqtt.password_env: {mqtt.password_env}"))
    if mqtt.password_file is None:
        return Secret(None)
    return _password_in(mqtt.password_file)


def _password_in(path: str) -> Secret:
    where = f"mqtt.password_file: {path}"
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_PASSWORD + 3)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as fault:
        raise InputError(f"{where}: cannot be read: {fault.strerror}") from None
    password = text.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")
    password = _usable(password, where)
    open_to = mode & (stat.S_IROTH | stat.S_IWOTH)
    return Secret(password, f"{where}: everyone on this board can read it: chmod 600 it" if open_to else None)


def _usable(password: str, where: str) -> str:
    try:
        size = len(password.encode())
    except UnicodeEncodeError:  # bytes that were no text stand in it as surrogates
        raise InputError(f"{where}: expected UTF-8 text, got other bytes") from None
    if not 0 < size <= LARGEST_PASSWORD or "\0" in password:
        raise InputError(
            f"{where}: expected a password of 1 to {LARGEST_PASSWORD} bytes without a NUL, got {size} bytes"
        )
    return password
