"""Publications that the broker did not take: tried again, later and later, while other topics go on."""

from __future__ import annotations

from collections import deque

from edge_runtime.gateway.mqtt_publication import Publication


class Refused:
    """Held by topic, in order: what comes after a refused one on its topic waits behind it.

    Of the retained ones only the newest is held, as only that one would be seen.
    """

    def __init__(self, first_wait: float, longest_wait: float) -> None:
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._topics: dict[str, _Topic] = {}

    def __len__(self) -> int:
        """Publications held."""
        return sum(len(topic.held) for topic in self._topics.values())

    def __contains__(self, topic: str) -> bool:
        """Whether something of the topic is held."""
        return topic in self._topics

    def clear(self) -> None:
        """Another connection: everything is tried anew."""
        self._topics.clear()

    def hold(self, publication: Publication) -> Publication | None:
        """Behind those of its topic, of which there are some. The one that it replaces, if any."""
        topic = self._topics[publication.topic]
        replaced = None
        # The first is the one being tried, unless it waits for its time.
        if publication.retain and len(topic.held) > topic.is_tried and topic.held[-1].retain:
            replaced = topic.held.pop()
        topic.held.append(publication)
        return replaced

    def refuse(self, publication: Publication, now: float) -> None:
        """The broker did not take it."""
        topic = self._topics.get(publication.topic)
        if topic is None:
            topic = self._topics[publication.topic] = _Topic(self._first_wait)
            topic.held.append(publication)
        elif topic.held[0] is publication:
            topic.wait = min(2 * topic.wait, self._longest_wait)
        else:  # it was under way already when the first was refused
            topic.held.insert(topic.behind, publication)
            topic.behind += 1
            return
        topic.is_tried = False
        topic.again_at = now + topic.wait

    def accept(self, publication: Publication) -> Publication | None:
        """The broker took it. The next of its topic, to be sent now."""
        topic = self._topics.get(publication.topic)
        if topic is None or topic.held[0] is not publication:
            return None
        topic.held.popleft()
        topic.behind = max(1, topic.behind - 1)
        if topic.held:
            return topic.held[0]
        del self._topics[publication.topic]
        return None

    def due(self, now: float) -> list[Publication]:
        """The first of each topic whose time has come, to be sent now."""
        due = [topic for topic in self._topics.values() if not topic.is_tried and now >= topic.again_at]
        for topic in due:
            topic.is_tried = True
        return [topic.held[0] for topic in due]


class _Topic:
    def __init__(self, wait: float) -> None:
        self.held: deque[Publication] = deque()
        self.behind = 1
        """Where the next that was under way belongs: before those that were never sent."""
        self.wait = wait
        self.again_at = 0.0
        self.is_tried = False
