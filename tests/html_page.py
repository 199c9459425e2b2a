"""An HTML page as a browser would see it, and whether it needs anything but itself."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input"}
"""Elements that are never closed."""


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, ids, and the text by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def assert_self_contained(html: str) -> Page:
    """No script, no style sheet, font, frame or image but what is in the page; links lead to sections of it."""
    page = Page(html)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "link", "object", "embed", "form", "base"), tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            if value is not None:
                assert value.startswith("data:image/svg+xml;base64,") or value[1:] in ids, value
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert not re.search(r"url\(|@import|https?:", " ".join(styles))
    for uri in re.findall(r"base64,([A-Za-z0-9+/=]+)", html):
        picture = base64.b64decode(uri, validate=True).decode()
        assert not re.search(r"<script|<foreignObject|<image|url\((?!#)|href=\"(?!#)|@import|<!DOCTYPE", picture)
    return page
