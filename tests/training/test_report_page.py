"""The page: one file without references to anything outside, in which all text is text."""

from __future__ import annotations

import sys

import pytest
from html_page import Page, assert_self_contained

from edge_runtime.errors import ExtraMissingError, RunError
from training.report_page import Picture, Report, Section, Table, read_report, render, write_report

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


def make_report(text=HOSTILE):
    return Report(
        text,
        text,
        ((text, text),),
        (
            Section(
                "first", text, (text,), (Picture("<svg></svg>", text),), (Table((text, "b"), ((text, "1"),), text),)
            ),
            Section("second", "Second", (), (), (Table((), (("a", "b"),)),)),
        ),
    )


def test_all_text_is_escaped():
    """A channel may be called anything: it is shown, not run, and no template in it is filled in."""
    page = assert_self_contained(render(make_report()))
    text = "".join(page.text)
    assert (
        text.count(HOSTILE) == 12
    )  # title, heading, lead, figure and value, entry, section, paragraph, caption, head, cell, note
    assert "49" not in text
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [image["alt"] for image in images] == [HOSTILE]


def test_every_section_is_there_and_linked():
    """In order, with its anchor; a table without a head has none."""
    page = Page(render(make_report()))
    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == ["first", "second"]
    assert [attributes["href"] for tag, attributes in page.elements if tag == "a"] == ["#first", "#second"]
    assert [tag for tag, _ in page.elements].count("table") == 2
    assert [tag for tag, _ in page.elements].count("thead") == 1


def test_what_was_written_is_read(tmp_path):
    """The same report, from which the same page is made."""
    report = make_report()
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    assert (tmp_path / "report.html").read_text() == render(report)


def test_a_section_takes_the_place_of_its_predecessor():
    """Or comes last, if there is none of its key."""
    report = make_report()
    changed = report.with_section(Section("first", "Changed"))
    assert [section.title for section in changed.sections] == ["Changed", "Second"]
    assert changed.with_section(Section("third", "Third")).sections[-1].key == "third"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"title": 1}', "[[[" * 50_000])
def test_a_report_that_is_not_there_or_altered(tmp_path, content):
    """Is an error of the run, which names the file."""
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(RunError, match=r"report\.json"):
        read_report(tmp_path)


def test_without_jinja2(monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ExtraMissingError, match="jinja2"):
        render(make_report())
