"""The gateway's configuration: one TOML file, decoded strictly."""

from datetime import datetime
from typing import Literal

from edge_runtime.record import Record


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


class Payload(Record):
    """What a message holds."""

    kind: Literal["json", "array", "csv", "float32", "samples"] = "json"
    """An object; an array or a CSV line of one number a channel, in the bundle's order; packed little-endian float32; or a raw
    waveform, packed little-endian float32 (N, C), for a bundle with a waveform."""
    channels: dict[str, str] = {}  # noqa: RUF012 - a Record makes a new one each time
    """For `json`: where each channel is, as a path of keys and positions, `data.vibration.0`; one not named is under its own name."""
    time: str | None = None
    """For `json`: the path of the time (ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970); for `array` and `csv`
    `first`: the time stands before the values. None: the time of arrival."""
    many: str | None = None
    """For `json`: the path of a list of readings in one message; `$`: the message is the list."""
    machine: str | None = None
    """For `json`: the path of the machine's name, where the topic does not hold it."""
    sample_rate: str | None = None
    """For raw samples in JSON: the path of their rate in Hz, compared with the bundle's."""
    ignore_missing: bool = False
    """Whether a channel that is not there is a missing value; false: the message is refused. JSON null always is missing."""


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


class HTTP(Record):
    """The status page, /metrics and /healthz."""

    port: int
    address: str = "127.0.0.1"
    """`0.0.0.0` shows it to everyone who can reach this board."""


class Maintenance(Record):
    """Known work on machines: their alarms are recorded and not sent."""

    machines: tuple[str, ...]
    start: datetime
    end: datetime
    note: str = ""


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
