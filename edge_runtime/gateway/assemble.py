"""A gateway from its configuration: bundles opened, machines taken in, everything restored that an earlier process kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from edge_runtime.bundle import Bundle
from edge_runtime.errors import ExtraMissingError, InputError
from edge_runtime.gateway.alerts import Work, topic_of
from edge_runtime.gateway.announcer import Announcer, Speaker
from edge_runtime.gateway.clock import Clock, SteadyTime, is_synchronised
from edge_runtime.gateway.config import GatewayConfig, Group
from edge_runtime.gateway.config_file import secret
from edge_runtime.gateway.desk import Desk
from edge_runtime.gateway.fleet import Fleet, room_for
from edge_runtime.gateway.gateway import Gateway
from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.intake import Intake
from edge_runtime.gateway.keeper import BEHIND, Keeper
from edge_runtime.gateway.lines import LINE_LIMIT, Lines
from edge_runtime.gateway.log import Log
from edge_runtime.gateway.log import Secret as Hidden
from edge_runtime.gateway.message import Source
from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.mqtt import MqttClient
from edge_runtime.gateway.mqtt_login import MESSAGE_LIMIT
from edge_runtime.gateway.parts import Parts
from edge_runtime.gateway.publisher import Client, Publisher
from edge_runtime.gateway.recent import RecentScores
from edge_runtime.gateway.restore import Restore
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.showing import Show
from edge_runtime.gateway.steady import open_steady
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes


class Model(NamedTuple):
    """What makes groups share a fleet."""

    digest: str
    """Of the bundle."""
    engine: str
    variant: str | None


class Broker(Source, Client, Speaker, Protocol):
    """What a gateway needs of `mqtt.MqttClient`."""

    last_error: str | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should know of the broker."""
        ...


Connect = Callable[[GatewayConfig, Sequence[tuple[str, int]], Sequence[str], Inbox, Log, str], Broker]
"""Makes it, of the configuration, the topics to listen to and their QoS, those not to listen to any more, the inbox, the log and the version."""
SUBSCRIPTIONS, MOST_SUBSCRIPTIONS = "subscriptions", 200
"""The store's note of all topics that were ever listened to, and how many of them are kept: the broker remembers them as well."""


def assemble(
    config: GatewayConfig, clock: Clock, log: Log, seen: Seen, version: str, *, connect: Connect | None = None
) -> Gateway:
    """Everything that `config` asks for, ready to run; `connect`: None for the broker that it names.


    Raises `BundleError`, `EngineError`, `ExtraMissingError`, `InputError` (a password that is not there) and `StoreError`.
    """
    fleets, files, of_group = open_fleets(config.groups)
    steady = SteadyTime(clock)
    names = ("", config.name) if config.mqtt is None else (config.mqtt.prefix, config.name)
    metrics = Metrics()
    store = Store(config.storage.folder, config.storage, clock, topic=topic_of(*names, "alerts"))
    keeper: Keeper | None = None
    try:
        listens = config.mqtt is not None and config.mqtt.commands
        commands = topic_of(*names, "commands") if listens else None
        intake = Intake(config.groups, fleets, of_group, steady, commands)
        work = Work(config.maintenance, store.maintenance())
        desk = Desk(fleets, files, work, None if config.mqtt is None else names, metrics, log)
        most = [intake.most_machines(number) for number in range(len(fleets))]
        keeper = Keeper(config.storage, fleets, most, clock, steady, is_behind=store.meta(BEHIND) == "1")
        inbox = Inbox()
        client: Broker | None = None
        if config.mqtt is not None:
            topics = [*intake.subscriptions, *([] if commands is None else [(commands, 1)])]
            forgotten = _forgotten(store, [topic for topic, _ in topics])
            client = (connect or partial(_client, largest=intake.largest))(
                config, topics, forgotten, inbox, log, version
            )
        sources: list[Source] = [] if client is None else [client]
        limit = max(LINE_LIMIT, intake.largest)
        sources += [
            Lines(group.lines, inbox, log, line_limit=limit) for group in config.groups if group.lines is not None
        ]
        parts = Parts(
            clock,
            steady,
            fleets,
            files,
            [RecentScores(each.detector.machines, thresholds_move=each.thresholds_move) for each in fleets],
            intake,
            inbox,
            sources,
            desk,
            keeper,
            store,
            None if client is None else Publisher(store, client),
            None if client is None else Announcer(client, names, clock, steady, store.machine_names()),
            metrics,
            log,
        )
        gateway = Gateway(
            parts,
            Show(seen, config, version, client),
            tick_s=config.tick_ms / 1e3,
            save_every_s=config.storage.save_every_s,
        )
        gateway.restore(Restore(fleets, intake, desk, keeper, store, clock, steady, log, is_synchronised()))
        return gateway
    except BaseException:  # this process may go on with another configuration in the same folders
        if keeper is not None:
            keeper.journal.close()
        store.close()
        raise


def open_fleets(groups: Sequence[Group]) -> tuple[list[Fleet], list[str], list[int]]:
    """A fleet for each bundle, engine and variant that groups ask for; the bundles' files; and the fleet of each group.

    Copies of a bundle are one. Raises `InputError` where after a restart nobody could tell to which fleet a machine that appeared belongs.
    """
    bundles = {path: Bundle.read(path) for path in dict.fromkeys(group.bundle for group in groups)}
    models = [Model(bundles[group.bundle].digest, group.engine, group.variant) for group in groups]
    different = list(dict.fromkeys(models))
    letting = list(dict.fromkeys(model for model, group in zip(models, groups, strict=True) if group.appear))
    twice = next(
        (
            model.digest
            for number, model in enumerate(letting)
            if model.digest in {each.digest for each in letting[:number]}
        ),
        None,
    )
    if twice is not None:
        file = next(path for path, bundle in bundles.items() if bundle.digest == twice)
        raise InputError(f"groups: expected machines of {file} to appear with one engine and variant, got several")
    fleets, files = [], []
    for model in different:
        sharing = [group for group, its in zip(groups, models, strict=True) if its == model]
        bundle = bundles[sharing[0].bundle]
        room = sum(room_for(group.machines, group.appear) for group in sharing)
        most = sum(len(group.machines) + group.appear for group in sharing)
        fleets.append(Fleet(bundle, open_steady(bundle, model.engine, model.variant, machines=room), most))
        files.append(sharing[0].bundle)
    return fleets, files, [different.index(model) for model in models]


def _client(
    config: GatewayConfig,
    topics: Sequence[tuple[str, int]],
    forgotten: Sequence[str],
    inbox: Inbox,
    log: Log,
    version: str,
    *,
    largest: int,
) -> MqttClient:
    assert config.mqtt is not None
    try:
        import paho.mqtt.client  # noqa: F401
    except ImportError:
        raise ExtraMissingError("a gateway with a broker", "gateway", "paho-mqtt") from None
    password, warning = secret(config.mqtt)
    if password is not None:
        log.hide(Hidden(password))
    if warning is not None:
        log("password_warning", what=warning)
    return MqttClient(
        config.mqtt, config.name, topics, inbox, inbox.wake, log,
        password=password, about={"version": version}, forgotten=forgotten, message_limit=max(MESSAGE_LIMIT, largest),
    )  # fmt: skip


def _forgotten(store: Store, topics: Sequence[str]) -> list[str]:
    """Topics of earlier configurations: in its session the broker would go on to send what comes on them."""
    earlier: list[str] = json.loads(store.meta(SUBSCRIPTIONS) or "[]")
    every = list(dict.fromkeys([*topics, *earlier]))[:MOST_SUBSCRIPTIONS]
    if every != earlier:
        changes = Changes()
        changes.meta[SUBSCRIPTIONS] = json.dumps(every)
        store.commit(changes)
    return [topic for topic in every if topic not in topics]
