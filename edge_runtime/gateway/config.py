"""The gateway's configuration: what is in the TOML file, and what goes together. `config_file.py` reads it."""

from datetime import datetime
from typing import Literal

from edge_runtime.engines import ENGINES
from edge_runtime.gateway.payload_path import Path
from edge_runtime.gateway.topics import MACHINE, check_name, check_pattern, check_together, name_fault
from edge_runtime.record import Record


def _check_range(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"expected {key} from {low:,g} to {high:,g}, got {value:g}")


def _check_text(key: str, value: str | None) -> None:
    if value is not None and not (value and value.isprintable()):
        raise ValueError(f"expected {key} to be text without control characters, got {value[:60]!r}")


class TLS(Record):
    """How the broker proves who it is, and how the gateway does."""

    ca_file: str | None = None
    """Certificates to trust (PEM); None: those of the system."""
    cert_file: str | None = None
    """The gateway's own certificate (PEM), if the broker asks for one."""
    key_file: str | None = None
    """Its private key (PEM)."""
    verify: bool = True
    """False trusts any broker: anyone between here and there can read and change everything."""

    def __post_init__(self) -> None:
        for key in ("ca_file", "cert_file", "key_file"):
            _check_text(key, getattr(self, key))
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("expected cert_file beside key_file, found none")
        if not self.verify and self.ca_file is not None:
            raise ValueError("expected no ca_file where verify is false: it would not be looked at")


class MQTT(Record):
    """The broker that readings come from and alerts go to."""

    host: str = "localhost"
    port: int | None = None
    """None: 8883 with TLS, 1883 without."""
    version: Literal["3.1.1", "5"] = "5"
    client_id: str | None = None
    """None: `anomalite-` and the gateway's name. The broker keeps what arrives for it while it is away."""
    keepalive_s: int = 30
    user: str | None = None
    password_env: str | None = None
    """The environment variable that holds the password."""
    password_file: str | None = None
    """Or the file that does; a line end at its end does not count."""
    tls: TLS | None = None
    """None: without encryption."""
    prefix: str = "anomalite"
    """Everything the gateway says is under `PREFIX/NAME/`."""
    commands: bool = False
    """Whether `PREFIX/NAME/commands` is listened to: acknowledge and maintenance."""
    session_expiry_s: int = 86_400
    """How long the broker keeps what arrives while the gateway is away (MQTT 5)."""

    def __post_init__(self) -> None:
        if not self.host or not self.host.isprintable() or any(each in self.host for each in " /@"):
            raise ValueError("expected host to be a name or an address alone, without mqtt://, user or password")
        if self.port is not None:
            _check_range("port", self.port, 1, 65_535)
        _check_range("keepalive_s", self.keepalive_s, 1, 65_535)
        _check_range("session_expiry_s", self.session_expiry_s, 0, 4_294_967_295)
        for key in ("client_id", "user", "password_env", "password_file"):
            _check_text(key, getattr(self, key))
        if self.password_env is not None and self.password_file is not None:
            raise ValueError("expected password_env or password_file, got both")
        if self.user is None and (self.password_env is not None or self.password_file is not None):
            raise ValueError("expected a user beside the password, found none")
        for level in self.prefix.split("/"):
            check_name(level, "prefix")

    @property
    def broker_port(self) -> int:
        """The port, whether it was given or not."""
        return self.port if self.port is not None else 1883 if self.tls is None else 8883


class Payload(Record):
    """What a message holds."""

    kind: Literal["json", "array", "csv", "float32", "samples"] = "json"
    """An object; an array or a CSV line of one number a channel, in the bundle's order; packed little-endian float32; or a raw
    waveform (N, C), packed little-endian float32 or within JSON, for a bundle with a waveform."""
    channels: dict[str, str] = {}  # noqa: RUF012 - a Record makes a new one each time
    """For `json`: where each channel is, as a path of keys and positions, `data.vibration.0`; one not named is under its own name."""
    time: str | None = None
    """For `json`: the path of the time (ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970); for `array` and `csv`
    `first`: the time stands before the values. None: the time of arrival."""
    many: str | None = None
    """For `json`: the path of a list of readings in one message; `$`: the message is the list, also for `array`."""
    machine: str | None = None
    """For `json`: the path of the machine's name, where the topic does not hold it."""
    samples: str | None = None
    """For `samples` in JSON: the path of the list of N lists of C numbers; None: the message is packed float32."""
    sample_rate: str | None = None
    """For `samples` in JSON: the path of their rate in Hz, compared with the bundle's."""
    ignore_missing: bool = False
    """Whether a channel that is not there is a missing value; false: the message is refused. JSON null always is missing."""
    max_kb: float | None = None
    """A larger message is refused unread; None: 256, or as much as the bundle's waveform can need."""

    def __post_init__(self) -> None:
        allowed = {
            "json": ("channels", "time", "many", "machine", "ignore_missing"),
            "array": ("time", "many"),
            "csv": ("time",),
            "float32": (),
            "samples": ("samples", "time", "machine", "sample_rate") if self.samples is not None else ("samples",),
        }[self.kind]
        for key in ("channels", "time", "many", "machine", "samples", "sample_rate", "ignore_missing"):
            value = getattr(self, key)
            if value not in (None, {}, False) and key not in allowed:
                in_json = " without the path of the samples in JSON" if self.kind == "samples" else ""
                raise ValueError(f"expected no {key} for a payload of the kind {self.kind}{in_json}, got {value!r}")
        if self.kind in ("array", "csv") and self.time not in (None, "first"):
            raise ValueError(f'expected time = "first" for a payload of the kind {self.kind}, got {self.time!r}')
        if self.kind == "array" and self.many not in (None, "$"):
            raise ValueError(f'expected many = "$" for a payload of the kind array, got {self.many!r}')
        for key, path in [(key, getattr(self, key)) for key in ("many", "machine", "samples", "sample_rate")]:
            _check_path(key, path)
        if self.kind not in ("array", "csv"):
            _check_path("time", self.time)
        for name, path in self.channels.items():
            _check_path(f"channels.{name}", path)
        if self.max_kb is not None:
            _check_range("max_kb", self.max_kb, 0.01, 65_536)

    @property
    def is_binary(self) -> bool:
        """Whether the message is packed numbers, and not text."""
        return self.kind == "float32" or (self.kind == "samples" and self.samples is None)


def _check_path(key: str, path: str | None) -> None:
    try:
        if path is not None:
            Path(path)
    except ValueError as fault:
        raise ValueError(f"{key}: {fault}") from None


class Group(Record):
    """Machines that share a bundle and a way in."""

    bundle: str
    """The file NAME.anomalite; relative to the configuration's folder."""
    topic: str | None = None
    """The MQTT topic readings come on, `plant/{machine}/readings`; `+` stands for any other level."""
    lines: str | None = None
    """Or JSON lines: a file that grows, or `-` for standard input."""
    machines: tuple[str, ...] = ()
    """Those known by name. One that was never heard of is reported as silent."""
    appear: int = 0
    """So many more may appear on first sight; readings of others are refused, and counted."""
    payload: Payload = Payload()
    engine: str = "auto"
    variant: str | None = None
    silent_after_s: float | None = None
    """A machine without readings for so long is reported; None: three of the bundle's longest gaps, but a minute at least."""
    qos: Literal[0, 1] = 1
    """Of the subscription."""

    def __post_init__(self) -> None:
        if (self.topic is None) == (self.lines is None):
            raise ValueError(f"expected a topic or lines, got {'neither' if self.topic is None else 'both'}")
        for key in ("bundle", "lines", "variant"):
            _check_text(key, getattr(self, key))
        if self.engine != "auto" and self.engine not in ENGINES:
            raise ValueError(f"unknown engine {self.engine!r}, known: auto, {', '.join(ENGINES)}")
        if self.topic is not None:
            check_pattern(self.topic)
        elif self.payload.is_binary:
            raise ValueError("expected text on each of the lines, got a payload of packed numbers")
        _check_range("appear", self.appear, 0, 100_000)
        if self.silent_after_s is not None:
            _check_range("silent_after_s", self.silent_after_s, 0.001, 1e9)
        for index, machine in enumerate(self.machines):
            if fault := name_fault(machine):
                raise ValueError(f"machines[{index}]: {fault}")
        if len(set(self.machines)) != len(self.machines):
            raise ValueError("expected machines with different names")
        self._check_heard()

    def _check_heard(self) -> None:
        in_topic = self.topic is not None and MACHINE in self.topic.split("/")
        if in_topic and self.payload.machine is not None:
            raise ValueError(
                f"expected the machine in the topic ({MACHINE}) or in the payload (payload.machine), got both"
            )
        if not self.machines and not self.appear:
            raise ValueError("expected machines, or how many may appear, found neither: nothing would be heard")
        if not in_topic and self.payload.machine is None and (len(self.machines), self.appear) != (1, 0):
            raise ValueError(
                f"expected one machine and no appear, as neither the topic ({MACHINE}) nor payload.machine says which one a message "
                f"is about, got {len(self.machines)} machines and appear = {self.appear}"
            )


class Storage(Record):
    """What outlasts a power cut, and how much of the card it may take."""

    folder: str
    journal_folder: str | None = None
    """For the readings since the last save; None: `$RUNTIME_DIRECTORY`, which systemd keeps in memory, else `folder`."""
    max_mb: float = 256.0
    """Of the database and what belongs to it."""
    keep_days: float = 90.0
    """Verdict history and alerts older than this are deleted; an unsent alert never by age."""
    save_every_s: float = 300.0
    """How often windows, thresholds and history are saved. Alerts and alarm states are saved at once."""

    def __post_init__(self) -> None:
        _check_text("folder", self.folder)
        _check_text("journal_folder", self.journal_folder)
        _check_range("max_mb", self.max_mb, 1, 1_000_000)
        _check_range("keep_days", self.keep_days, 0.01, 36_500)
        _check_range("save_every_s", self.save_every_s, 1, 86_400)


class HTTP(Record):
    """The status page, /metrics and /healthz."""

    port: int
    """0: any that is free."""
    address: str = "127.0.0.1"
    """`0.0.0.0` shows it to everyone who can reach this board."""

    def __post_init__(self) -> None:
        _check_range("port", self.port, 0, 65_535)
        _check_text("address", self.address)


class Maintenance(Record):
    """Known work on machines: their alarms are recorded and not sent."""

    machines: tuple[str, ...]
    start: datetime
    end: datetime
    note: str = ""

    def __post_init__(self) -> None:
        if not self.machines:
            raise ValueError("expected one or more machines, got none")
        if not self.start < self.end:
            raise ValueError(f"expected an end after the start, {self.start.isoformat()}, got {self.end.isoformat()}")


class GatewayConfig(Record):
    """All of it."""

    name: str
    """Of this gateway, one level of the topics it writes to."""
    groups: tuple[Group, ...]
    storage: Storage
    mqtt: MQTT | None = None
    http: HTTP | None = None
    maintenance: tuple[Maintenance, ...] = ()
    tick_ms: float = 10.0
    """Readings that arrive within so many milliseconds are scored together."""

    def __post_init__(self) -> None:
        check_name(self.name, "name")
        _check_range("tick_ms", self.tick_ms, 1, 1000)
        if not self.groups:
            raise ValueError("expected one or more groups, got none")
        if self.mqtt is None and any(group.topic is not None for group in self.groups):
            raise ValueError("expected the table mqtt, as a group has a topic, found none")
        check_together(self.groups, () if self.mqtt is None else (*self.mqtt.prefix.split("/"), self.name))
        known: set[str] = set()
        for group in self.groups:
            for machine in group.machines:
                if machine in known:
                    raise ValueError(f"expected each machine in one group, got {machine!r} in two")
                known.add(machine)
        may_appear = any(group.appear for group in self.groups)
        for work in self.maintenance:
            unknown = [machine for machine in work.machines if machine not in known]
            if unknown and not may_appear:
                raise ValueError(f"expected maintenance of known machines, got {unknown[0][:100]!r}")
