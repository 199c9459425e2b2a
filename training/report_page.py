"""The page `report.html`: sections of text, tables and pictures, in one file that opens without a network.

Training fills the sections (`report_sections.py`) and writes them to the run directory twice: as `report.html` for people and as
`report.json`, from which export adds its own section and writes the page again. Neither is hashed: they are read by people, and
nothing is decided by them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.errors import RunError, SchemaError
from edge_runtime.files import write_whole
from edge_runtime.schema import decode, encode
from training.extra import import_extra

PAGE, CONTENT = "report.html", "report.json"
TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with the sentence that says what it shows."""

    svg: str
    """The text of an SVG file; shown as an image, so nothing in it can run or load anything."""
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    key: str
    """Its anchor; a section of the same key replaces it."""
    title: str
    text: tuple[str, ...] = ()
    """Paragraphs."""
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What the page says."""

    title: str
    lead: str
    """One sentence below the title."""
    summary: tuple[tuple[str, str], ...]
    """The figures to see first: (name, value)."""
    sections: tuple[Section, ...]

    def with_section(self, section: Section) -> Report:
        """The same report with the section in the place of the one of that key, or at the end."""
        keys = [each.key for each in self.sections]
        if section.key not in keys:
            return replace(self, sections=(*self.sections, section))
        at = keys.index(section.key)
        return replace(self, sections=(*self.sections[:at], section, *self.sections[at + 1 :]))


def render(report: Report) -> str:
    """The HTML page. All text is escaped. Raises `ExtraMissingError` without jinja2."""
    jinja2 = import_extra("jinja2", "the report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    page: str = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(report=report)
    return page


def write_report(folder: Path, report: Report) -> None:
    """Write `report.html` and `report.json` into a run directory. Raises `ExtraMissingError`, `OutputError`."""
    page = render(report).encode()
    write_whole(folder / CONTENT, json.dumps(encode(report), indent=1).encode())
    write_whole(folder / PAGE, page)


def read_report(folder: Path) -> Report:
    """The report of a run directory. Raises `RunError` if there is none, or if `report.json` is not as it was written."""
    path = folder / CONTENT
    try:
        return decode(Report, {**json.loads(path.read_bytes())}, str(path))
    except OSError as fault:
        raise RunError(f"{path}: cannot be read: {fault.strerror}") from None
    except SchemaError as fault:
        raise RunError(str(fault)) from None
    except (ValueError, TypeError, RecursionError) as fault:
        raise RunError(f"{path}: expected JSON, got: {fault}") from None


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
