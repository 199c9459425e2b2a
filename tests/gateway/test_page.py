"""The status page in a real Chromium: what a person sees, and what a hostile name cannot do."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import handmade
import made_status
import pytest

from edge_runtime.gateway.status import MACHINE_STATES

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
WORDS = {
    "alarm": "Alarm", "silent": "Silent", "sensor_fault": "Sensor fault", "out_of_range": "Out of range", "gap": "Readings missing",
    "never_seen": "Never seen", "warming_up": "Warming up", "off": "Off", "normal": "Normal",
}  # fmt: skip
"""What each state is called, the most urgent first."""

if "CI" not in os.environ:
    pytest.importorskip("playwright")
    pytest.importorskip("prometheus_client")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}", allow_module_level=True)

from playwright.sync_api import Page, expect, sync_playwright  # noqa: E402 - where it is installed
from served import Served  # noqa: E402

expect.set_options(timeout=20_000)  # a slow board, and its other tests
POLL_MS = 2_100
"""The page asks again after two seconds."""


@pytest.fixture(scope="module")
def browser():
    """One for all; each test has a context of its own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def serve(tmp_path):
    """Starts gateways that are stopped after the test."""
    made = []

    def start(status):
        made.append(Served(status, str(tmp_path)))
        return made[-1]

    yield start
    for each in made:
        each.web.stop()
        assert each.faults == []


@pytest.fixture
def look(browser):
    """Opens the page; whatever it says to the console or asks of another server fails the test."""
    contexts, faults = [], []

    def open_page(served, fragment="", viewport=DESKTOP, expected=(), **more) -> Page:
        context = browser.new_context(viewport=viewport, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.clock.install()  # it goes on as usual; a test may make it jump
        page.on("pageerror", lambda fault: faults.append(f"error: {fault}"))
        page.on(
            "console",
            lambda said: any(each in said.text for each in expected) or faults.append(f"console: {said.text}"),
        )
        page.on("dialog", lambda dialog: (faults.append("a dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda asked: asked.url.startswith((f"{served.url}/", "data:image/svg+xml")) or faults.append(asked.url),
        )
        page.add_init_script(
            "window.broken = []; document.addEventListener('securitypolicyviolation', (event) => window.broken.push(event.violatedDirective + ' ' + event.blockedURI))"
        )
        page.goto(f"{served.url}/{fragment}")
        expect(page.locator("body")).not_to_have_class(re.compile("waiting"))
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("[window.broken, window.hacked ?? null]") == [[], None]
        context.close()
    assert faults == []


def overflow(page):
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def names(page):
    """Of the machines, from top to bottom."""
    return page.locator(".card h3").all_inner_texts()


def test_the_most_urgent_machine_is_first(serve, look):
    """New alarms, then those somebody knows of, then those of known work, then the other states; each with its word and a shape."""
    page = look(serve(made_status.plant(12)))
    assert names(page)[:3] == ["press 3", "press 12", "conveyor 1"]
    words = page.locator(".card .word").all_inner_texts()
    order = list(WORDS.values())
    assert [order.index(word) for word in words] == sorted(order.index(word) for word in words)
    assert set(words) == {WORDS[state] for state in MACHINE_STATES}
    assert page.locator(".card .symbol svg").count() == 12
    shapes = {
        card.get_attribute("class").split()[-1]: card.locator(".symbol .outline").get_attribute("d")
        for card in page.locator(".card").all()
    }
    assert len(set(shapes.values())) == len(shapes) == 4
    counts = page.locator("#counts button").all_inner_texts()
    assert [" ".join(text.split()) for text in counts] == [
        "3 Alarm",
        *(f"1 {word}" for word in order[1:-1]),
        "2 Normal",
    ]
    first = page.locator(".card").first
    expect(first).to_contain_text("score 1.31, threshold 0.5")
    expect(first).to_contain_text("for 5 min")
    expect(first.locator(".spark path.line")).to_have_count(1)
    expect(page.locator(".card", has_text="mixer 5")).to_contain_text("at fault: b2, b4")
    expect(page.locator(".card", has_text="press 12")).to_contain_text("acknowledged")
    expect(page.locator(".card", has_text="conveyor 1")).to_contain_text("in maintenance")


def test_a_silent_machine_s_alarm_is_not_forgotten(serve, look):
    """It comes right after the machines in alarm, and says that there is one."""
    machines = (
        made_status.machine("a", "silent"),
        made_status.machine("z", "silent", alert="1"),
        made_status.machine("b", "alarm"),
    )
    page = look(serve(made_status.plant(3)._replace(machines=machines)))
    assert names(page) == ["b", "z", "a"]
    expect(page.locator(".card").nth(1)).to_contain_text("alarm not cleared")
    expect(page.locator(".card").nth(2)).not_to_contain_text("alarm")


def test_alerts_and_the_gateway_s_own_health_are_there(serve, look):
    """Severity, shares of the channels and what became of each alert; bundles, engine, broker and board."""
    page = look(serve(made_status.plant(12)))
    first = page.locator("#alert-list > li").first
    for text in ("press 3", "2.62 × threshold", "b4", "69 %", "and 1 more", "open", "sent"):
        expect(first).to_contain_text(text)
    expect(first.locator(".shares .part")).to_have_count(4)
    marks = page.locator("#alert-list .marks")
    expect(marks.nth(1)).to_have_text("openduring maintenance, not sent")
    expect(marks.nth(2)).to_have_text("openacknowledgedsent")
    expect(marks.nth(3)).to_have_text("clearedduring maintenancesent")
    expect(marks.nth(4)).to_have_text("clearedwaiting to be sent")
    for text in ("pump", "12 machines", "lstm_autoencoder", "numpy", made_status.DIGEST[:12], "b1, b2, b3, b4"):
        expect(page.locator("#bundles")).to_contain_text(text)
    expect(page.locator("#messages")).to_contain_text("broker.plant:8883 connected")
    expect(page.locator("#messages")).to_contain_text("json 12")
    expect(page.locator("#messages")).to_contain_text("11 MB of at most 256 MB")
    expect(page.locator("#device")).to_contain_text("core")
    expect(page.locator("#about")).to_contain_text("anomalite 0.1.0")
    expect(page.locator("h1")).to_have_text("hall 2")
    assert page.title() == "(3) Alarm – hall 2"


def test_what_happens_is_shown_without_a_reload(serve, look):
    """A machine's alarm appears on top, in the count, the title, the alerts and for a screen reader; problems in red."""
    served = serve(
        made_status.plant(3)._replace(machines=(made_status.machine("a"), made_status.machine("b")), alerts=())
    )
    page = look(served)
    assert names(page) == ["a", "b"]
    expect(page.locator("#no-alerts")).to_be_visible()
    expect(page.locator("#problems")).to_be_hidden()
    expect(page.locator("#said")).to_have_text("No machine of 2 in alarm")
    status = served.seen.status()
    raised = made_status.machine("b", "alarm", score=1.7, since=made_status.NOW)
    served.seen.publish(
        status._replace(
            machines=(status.machines[0], raised),
            alerts=(made_status.alert(0, "b"),),
            problems=("the disk is full: alerts are kept in memory",),
            is_connected=False,
            is_clock_set=False,
        )
    )
    page.clock.fast_forward(POLL_MS)
    expect(page.locator(".card").first).to_contain_text("Alarm")
    assert names(page) == ["b", "a"]
    expect(page.locator("#said")).to_have_text("1 of 2 machines in alarm")
    expect(page.locator("#alert-list > li")).to_have_count(1)
    expect(page.locator("#problems[role=alert]")).to_contain_text("the disk is full: alerts are kept in memory")
    expect(page.locator("#problems")).to_contain_text("the board has not heard the time yet")
    expect(page.locator("#broker")).to_have_text("broker away")
    assert page.title() == "(1) Alarm – hall 2"
    served.seen.publish(status)
    page.clock.fast_forward(POLL_MS)
    expect(page.locator("#problems")).to_be_hidden()
    expect(page.locator("#broker")).to_have_text("broker connected")
    assert names(page) == ["a", "b"]


def test_a_dead_page_does_not_look_healthy(serve, look):
    """Without an answer it says so and since when, and turns grey; and it comes back by itself."""
    served = serve(made_status.plant(12))
    page = look(served, expected=("Failed to load resource: net::",))
    expect(page.locator("#contact")).to_have_text("live")
    port = served.web.port
    served.web.stop()
    dead = page.locator("#dead[role=alert]")
    page.clock.fast_forward(20_000)
    expect(dead).to_have_text(
        re.compile(r"The gateway does not answer: last seen 2\d s ago\. What is shown below is old\.")
    )
    expect(page.locator("body.old #contact")).to_have_text("no contact")
    assert page.title() == "No contact – hall 2"
    assert page.locator("main").evaluate("(main) => getComputedStyle(main).filter") == "grayscale(1)"
    assert page.evaluate("document.getElementById('icon').href.includes('d92d20')") is False
    page.locator(".card").first.click()
    expect(page.locator("dialog")).to_contain_text("The gateway does not answer")
    page.locator("#close").click()
    served.web.start("127.0.0.1", port)
    page.clock.fast_forward(3_000)
    expect(page.locator("#contact")).to_have_text("live")
    expect(dead).to_be_empty()
    assert page.title() == "(3) Alarm – hall 2"


def test_a_gateway_whose_loop_stands_still_does_not_look_healthy(serve, look):
    """Though its web server answers."""
    served = serve(made_status.plant(12))
    served.later = 30
    page = look(served)
    expect(page.locator("body.old #contact")).to_have_text("standing still")
    expect(page.locator("#dead")).to_contain_text("does not work")
    expect(page.locator("#problems")).to_contain_text("the gateway's loop has stood still for 3")
    assert page.title() == "No contact – hall 2"


def test_a_gateway_that_is_starting_says_so(serve, browser):
    """No machines and no alerts would look as if all were well."""
    served = serve(None)
    page = browser.new_page()
    page.goto(served.url)
    expect(page.locator("#problems")).to_have_text("the gateway is still starting")
    expect(page.locator("main")).to_be_hidden()
    served.seen.publish(made_status.plant(3))
    expect(page.locator("main")).to_be_visible()
    page.close()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_hostile_names_are_text(serve, look, viewport):
    """Markup is shown and not made, right-to-left stays where it is, and no name makes the page wider than the screen."""
    page = look(serve(made_status.hostile_plant()), viewport=viewport)
    assert sorted(names(page)) == sorted(made_status.HOSTILE)
    assert page.locator("#alert-list .who").all_inner_texts() == list(made_status.HOSTILE)
    assert page.locator("#bundles strong").all_inner_texts() == list(made_status.HOSTILE)
    assert page.locator("#problems li").all_inner_texts() == list(made_status.HOSTILE)
    assert page.locator("h1").inner_text() == made_status.HOSTILE[0]
    assert page.locator("img, iframe, object, embed, form, base, body script, style").count() == 0
    assert (
        page.evaluate(
            "[...document.querySelectorAll('*')].filter((each) => [...each.attributes].some((one) => one.name.startsWith('on'))).length"
        )
        == 0
    )
    assert page.evaluate(
        "[...document.querySelectorAll('.card h3 bdi, .who bdi, .channel bdi')].every((each) => getComputedStyle(each).unicodeBidi === 'isolate')"
    )
    assert overflow(page) == 0
    for place, name in enumerate(names(page)):
        page.locator(".card h3 a").nth(place).click()
        expect(page.locator("#details-name")).to_have_text(name)
        expect(page.locator("#details-chart svg")).to_be_visible()
        assert page.locator("dialog").evaluate("(each) => each.scrollWidth - each.clientWidth") == 0
        page.locator("#close").click()
    assert page.locator("img, iframe, object, embed, form, base, body script, style").count() == 0


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_it_fits_the_screen(serve, look, width):
    """From a small phone to a large screen nothing has to be moved sideways, and a thumb hits what can be pressed."""
    page = look(serve(made_status.plant(12)), viewport={"width": width, "height": 800})
    assert overflow(page) == 0
    heights = page.eval_on_selector_all(
        "button, input", "(all) => all.filter((each) => each.offsetParent).map((each) => each.offsetHeight)"
    )
    assert min(heights) >= 40
    assert page.locator("meta[name=viewport]").get_attribute("content") == "width=device-width, initial-scale=1"


def test_the_details_of_a_machine(serve, look):
    """A chart with axes, score and threshold, what is known of the machine, and its own alerts; Back closes them."""
    page = look(serve(made_status.plant(12)), viewport=PHONE)
    page.locator(".card", has_text="press 3").click()
    details = page.locator("dialog#details")
    expect(details).to_be_visible()
    for text in ("Alarm", "1.31", "2.62 × threshold", "41,234", "numpy, numpy", "Above the threshold in 11 of 120"):
        expect(details).to_contain_text(text)
    chart = details.locator(".chart")
    for part in ("path.line", "path.limit", "path.axis"):
        expect(chart.locator(part)).to_have_count(1)
    labels = chart.locator("text").all_text_contents()
    assert {"0", "0.5", "1", "1.5"} <= set(labels)
    assert len([label for label in labels if ":" in label]) == 3
    assert "Highest score of the last hour: 1." in chart.get_attribute("aria-label")
    expect(details.locator(".alert")).to_have_count(1)
    assert page.url.endswith("/#machine=press%203")
    for _ in range(3):
        page.go_back()
        expect(details).to_be_hidden()
        page.go_forward()
        expect(details).to_be_visible()


def test_details_have_an_address(serve, look):
    """A link to a machine opens it; far above the threshold the chart is logarithmic; one that is not there is told."""
    served = serve(made_status.plant(12))
    page = look(served, "#machine=conveyor%201")
    expect(page.locator("#details-name")).to_have_text("conveyor 1")
    assert {"0.1", "1", "10", "logarithmic"} <= set(page.locator(".chart text").all_text_contents())
    other = look(served, "#machine=nobody")
    expect(other.locator("dialog")).to_contain_text("There is no machine of this name.")
    never = look(served, "#machine=mixer%208")
    expect(never.locator("dialog")).to_contain_text("No reading has arrived yet.")


def test_it_is_used_with_the_keyboard(serve, look):
    """Machines are reached by Tab and opened by Enter; the dialog takes the focus, Escape closes it and gives the focus back."""
    page = look(serve(made_status.plant(12)))
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.card') !== null"):
            break
    assert page.evaluate("document.activeElement.innerText") == "press 3"
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.innerText") == "press 3"
    expect(page).to_have_url(re.compile("^[^#]*$"))
    tree = page.locator("body").aria_snapshot()
    for part in (
        "banner",
        "main",
        "contentinfo",
        "navigation",
        'heading "hall 2" [level=1]',
        'heading "Machines" [level=2]',
        'searchbox "Find machines by name or bundle"',
    ):
        assert part in tree, part
    assert page.evaluate(
        "[...document.querySelectorAll('button, a, input')].every((each) => (each.innerText || each.ariaLabel || '').trim())"
    )


CONTRAST = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((each) => each / 255).map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!text.length || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = channels(element instanceof SVGElement ? style.fill : style.color);
    const [one, other] = [light(ink), light(behind(element))].sort((a, b) => b - a);
    found.push([(one + 0.05) / (other + 0.05), element.tagName + '.' + (element.getAttribute('class') ?? '') + ' ' + text[0].data]);
  }
  return found;
}"""
"""Of every piece of text that is shown: contrast to what is behind it (WCAG 2.2, 1.4.3), and what it is."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(serve, look, scheme):
    """4.5 to 1 for all text, in both colour schemes, which are not the same; and bars 3 to 1."""
    status = made_status.plant(12)._replace(problems=("something is wrong",), is_connected=False)
    page = look(serve(status), "#machine=press%203", color_scheme=scheme)
    expect(page.locator(".chart")).to_be_visible()
    found = page.evaluate(CONTRAST)
    assert len(found) > 100
    assert [each for each in found if each[0] < 4.5] == []
    red, green, blue = (
        int(each) for each in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    )
    assert (red + green + blue < 150) == (scheme == "dark")


def test_a_thousand_machines(serve, look):
    """A page of them at first, more when asked, all by name; and curves are only fetched for those on the screen."""
    page = look(serve(made_status.plant(1000)))
    expect(page.locator(".card")).to_have_count(48)
    expect(page.locator("#counts")).to_contain_text("990 Normal")
    page.locator("#more").click()
    expect(page.locator(".card")).to_have_count(144)
    expect(page.locator("#more")).to_have_text("Show more (856 are not shown)")
    page.locator("#filter").fill("PUMP 97")
    expect(page.locator(".card")).to_have_count(20)  # 97 to 997, and 970 to 979
    assert names(page)[0] == "pump 97"
    page.locator("#filter").fill("no such")
    expect(page.locator("#none")).to_be_visible()
    page.locator("#filter").fill("")
    alarms = page.locator("#counts button", has_text="Alarm")
    alarms.click()
    expect(page.locator(".card")).to_have_count(3)
    expect(alarms).to_have_attribute("aria-pressed", "true")
    alarms.click()
    expect(page.locator(".card")).to_have_count(48)


def test_curves_are_fetched_for_what_is_on_the_screen(serve, look):
    """One request for each machine that is seen; the others when somebody scrolls there."""
    served = serve(made_status.plant(1000))
    asked = []
    place = served.seen.recent
    served.seen.recent = lambda name: asked.append(name) or place(name)
    page = look(served, viewport=PHONE)
    expect(page.locator(".card .spark")).not_to_have_count(0)
    last = page.locator(".card").last
    expect(last.locator(".spark")).to_have_count(0)
    last.scroll_into_view_if_needed()
    expect(last.locator(".spark")).to_have_count(1)
    assert len(asked) <= 20


def test_times_are_the_viewer_s_and_utc_when_pointed_at(serve, look):
    """The same moment in another zone; the title has UTC."""
    page = look(serve(made_status.plant(12)), timezone_id="Asia/Kolkata", locale="en-GB")
    moment = page.locator("#alert-list time").first
    expect(moment).to_have_text("19:38:20")
    expect(moment).to_have_attribute("title", "2026-09-21 14:08:20 UTC")


def test_another_version_of_the_gateway_brings_its_own_page(serve, look):
    """After an update the page that is still open loads itself again."""
    served = serve(made_status.plant(3))
    page = look(served)
    page.evaluate("window.isOld = true")
    with page.expect_navigation():
        served.seen.publish(served.seen.status()._replace(version="0.2.0"))
        page.clock.fast_forward(POLL_MS)
    assert page.evaluate("window.isOld") is None
    expect(page.locator("#about")).to_contain_text("anomalite 0.2.0")


def test_it_asks_every_two_seconds(serve, look):
    """Not more often, though something makes it hurry fifty times."""
    page = look(serve(made_status.plant(3)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/status.json") else None)
    with page.expect_response("**/status.json"):
        page.evaluate("for (let i = 0; i < 50; i++) window.dispatchEvent(new Event('online'))")
    assert len(asked) == 1
    page.clock.fast_forward(1_500)
    expect(page.locator("#contact")).to_have_text("live")
    assert len(asked) == 1
    with page.expect_response("**/status.json"):
        page.clock.fast_forward(POLL_MS)
    assert len(asked) == 2


def test_the_curve_is_live(serve, look):
    """Between two half minutes the newest score is on the curve at once; before there is an hour, what there is fills the width."""
    status = made_status.plant(3)._replace(machines=(made_status.machine("a", score=0.1),))
    served = serve(status)
    page = look(served, "#machine=a")
    line = page.locator("#details-chart path.line")
    expect(line).to_have_attribute("d", re.compile("M"))
    for step in range(1, 4):
        before = line.get_attribute("d")
        now = made_status.NOW + 2.0 * step
        machine = made_status.machine("a", score=0.1 * step, last_reading=now - 0.1)
        served.seen.publish(status._replace(now=now, machines=(machine,)))
        page.clock.fast_forward(POLL_MS)
        expect(line).not_to_have_attribute("d", before)
    assert page.evaluate(SERIES) == [120, 3600, 3, 2]


SERIES = """async () => {
  const { remember, series } = await import("/live.js");
  const times = Array.from({ length: 120 }, (_, place) => 30 * place);
  const recent = (scores) => ({ times, scores, thresholds: scores.map(() => 1) });
  const empty = times.map(() => null);
  const range = ({ first, last }) => last - first;
  const young = range(series("young", recent([...empty.slice(1), 2])));
  const old = range(series("old", recent([2, ...empty.slice(1)])));
  const machine = (last_reading) => ({ name: "b", score: 1, threshold: 1, last_reading });
  for (const now of [3600, 3601, 3602, 3603]) remember({ now, machines: [machine(Math.min(now, 3602))] });
  const shown = series("b", recent(empty)).points.filter((point) => point !== null).length;
  remember({ now: 3650, machines: [machine(3650)] });
  remember({ now: 3735, machines: [machine(3735)] });
  remember({ now: 3835, machines: [machine(3835)] });
  remember({ now: 3836, machines: [machine(3836)] });
  return [young, old, shown, series("b", recent(empty)).points.filter((point) => point !== null).length];
}"""
"""Two minutes at least and an hour at most; a reading makes one point however often it is seen; and a clock that jumps begins anew."""


CONFIG = """
name = "hall 2"
[[groups]]
bundle = "small.anomalite"
lines = "in.jsonl"
machines = ["press 3", "press 4"]
payload = { machine = "machine" }
[storage]
folder = "."
[http]
port = %d
"""


def free_port():
    """One that nobody has right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def gateway(tmp_path):
    """A gateway as anybody starts it, that reads a growing file; (its address, what adds a reading)."""
    handmade.sealed(tmp_path / "small.anomalite")
    (tmp_path / "in.jsonl").touch()
    port = free_port()
    (tmp_path / "gateway.toml").write_text(CONFIG % port)
    command = [sys.executable, "-m", "edge_runtime.cli", "serve", str(tmp_path / "gateway.toml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def read(value):
        with (tmp_path / "in.jsonl").open("a") as file:
            file.write(json.dumps({"machine": "press 3", "c0": value, "c1": 0.2}) + "\n")

    try:
        said = process.stderr.readline()
        assert " started " in said, said + process.stderr.read()
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", process=process, read=read)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_running_gateway_is_shown(gateway, look):
    """Not a made-up plant: readings come in, the machine wakes up, its alarm is on the page, and so is the gateway's end."""
    page = look(gateway, expected=("Failed to load resource: net::",))
    card = page.locator(".card", has_text="press 3")
    expect(card).to_contain_text("Never seen")

    def until(text, value):
        for _ in range(100):
            gateway.read(value)
            page.clock.fast_forward(POLL_MS)
            page.wait_for_timeout(250)  # a machine has a reading four times a second
            if text in card.inner_text():
                return
        pytest.fail(f"never {text}: {card.inner_text()}")

    until("Normal", 0.1)
    until("Alarm", 9.0)
    assert names(page)[0] == "press 3"
    alert = page.locator("#alert-list > li")
    expect(alert).to_contain_text("press 3")
    expect(alert).to_contain_text("c0")
    card.click()
    expect(page.locator("#details-chart path.line")).to_have_attribute("d", re.compile("M"))
    gateway.process.kill()
    gateway.process.wait()
    page.clock.fast_forward(20_000)
    expect(page.locator("#details-dead")).to_contain_text("The gateway does not answer")
