"""What a gateway is made of."""

from __future__ import annotations

from typing import NamedTuple

from edge_runtime.gateway.announcer import Announcer
from edge_runtime.gateway.clock import Clock, SteadyTime
from edge_runtime.gateway.desk import Desk
from edge_runtime.gateway.fleet import Fleet
from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.intake import Intake
from edge_runtime.gateway.keeper import Keeper
from edge_runtime.gateway.log import Log
from edge_runtime.gateway.message import Source
from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.publisher import Publisher
from edge_runtime.gateway.recent import RecentScores
from edge_runtime.gateway.store import Store


class Parts(NamedTuple):
    """All of them; `assemble.py` makes the real ones."""

    clock: Clock
    steady: SteadyTime
    fleets: list[Fleet]
    files: list[str]
    """The bundles of the fleets."""
    recent: list[RecentScores]
    """One for each fleet."""
    intake: Intake
    inbox: Inbox
    sources: list[Source]
    desk: Desk
    keeper: Keeper
    store: Store
    publisher: Publisher | None
    """None where no broker is configured: alerts are in the store, the log and on the page."""
    announcer: Announcer | None
    metrics: Metrics
    log: Log
