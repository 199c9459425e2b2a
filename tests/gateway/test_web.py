"""The web server as any client meets it: what it answers, and what a client cannot make it do."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from urllib.parse import quote

import made_status
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.gateway import answers, web
from edge_runtime.gateway.recent import INTERVALS, RecentScores

pytest.importorskip("prometheus_client")
from served import Served

PAGES = ["/", "/page.css", "/page.js", "/charts.js", "/status.json", "/machines/press%203.json", "/metrics", "/healthz"]


@pytest.fixture
def served(tmp_path):
    """A healthy gateway."""
    made = Served(made_status.plant(24), str(tmp_path))
    yield made
    made.web.stop()
    assert made.faults == []


def ask(served, path, method="GET", headers=None, body=None):
    """The answer and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", served.web.port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def told(served, path):
    """The body as JSON."""
    return json.loads(ask(served, path)[1])


def connect(served):
    """A connection without a client that knows the protocol."""
    return socket.create_connection(("127.0.0.1", served.web.port), timeout=20)


def until_closed(connection):
    """Everything that still comes; a reset is an end too."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


def status_of(raw):
    """Of an answer's first line."""
    return int(raw.split(b" ", 2)[1])


@pytest.mark.parametrize("path", PAGES)
def test_every_path_is_answered_with_all_protections(served, path):
    """No script but the server's own, no frame, no guessing of types, nothing kept; HEAD is the same without the body."""
    answer, body = ask(served, path)
    assert answer.status == 200
    assert body
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Python" not in answer.headers["Server"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    head, nothing = ask(served, path, "HEAD")
    assert (head.status, nothing) == (200, b"")
    assert head.headers["Content-Type"] == answer.headers["Content-Type"]
    if path not in ("/status.json", "/metrics"):  # those change with time
        assert head.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "A" * 500])
def test_nothing_can_be_changed(served, method):
    """Any method that is not for looking is refused, on every path, whatever it brings."""
    for path in ("/", "/status.json", "/nothing"):
        answer, body = ask(served, path, method, body=b"{}")
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD"
        assert json.loads(body) == {"error": "nothing can be changed here"}
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/../web.py", "/page/page.js", "/%2e%2e/web.py", "/index.html", "/page.js/", "/machines/", "/machines/.json",
     "/machines/unknown.json", "/machines/%ff.json", "/machines/press 3", "/STATUS.JSON", "http://elsewhere/", "*"],
)  # fmt: skip
def test_other_paths_are_not_found(served, path):
    """No file outside the page's folder, no machine nobody heard of, no name that is not UTF-8."""
    with connect(served) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".replace(
                "press 3", "press%203"
            ).encode()
        )
        raw = until_closed(connection)
    assert status_of(raw) == 404
    assert b"error" in raw


def test_the_status_is_what_the_gateway_published(served):
    """Every field, the contributions in order as pairs, and beside it the board's health and the age."""
    status = served.seen.status()
    found = told(served, "/status.json")
    assert [each["name"] for each in found["machines"]] == [each.name for each in status.machines]
    assert found["machines"][-1] == json.loads(json.dumps(status.machines[-1]._asdict()))
    assert found["bundles"][0]["channels"] == ["b1", "b2", "b3", "b4"]
    assert found["alerts"][0]["contributions"] == [list(pair) for pair in status.alerts[0].contributions.items()]
    assert found["age_s"] == 0
    assert found["troubles"] == []
    assert found["device"]["cores"] >= 1
    kept = {
        "name",
        "version",
        "now",
        "started",
        "is_clock_set",
        "broker",
        "is_connected",
        "reconnects",
        "inbox",
        "outbox",
        "can_store",
    }
    for name in kept:
        assert found[name] == getattr(status, name), name


@pytest.fixture
def clock(monkeypatch):
    """Of what is kept, in seconds; it stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr(answers, "monotonic", lambda: now[0])
    return now


def test_a_new_status_is_shown_at_once(served, clock):
    """Though an answer is kept for a second for all who ask."""
    status = served.seen.status()
    assert told(served, "/status.json")["reconnects"] == 2
    clock[0] += 0.001
    served.seen.publish(status._replace(reconnects=3))
    assert told(served, "/status.json")["reconnects"] == 3
    served.later = 5.0
    clock[0] += 0.9
    assert told(served, "/status.json")["age_s"] == 0
    clock[0] += 0.2
    assert told(served, "/status.json")["age_s"] == 5


@pytest.mark.parametrize("path", ["/status.json", "/metrics"])
def test_those_who_look_take_a_fifth_of_the_time(served, clock, monkeypatch, path):
    """An answer that takes three seconds to write is kept for twelve, whatever happens in between."""
    written = []

    def slow(seconds=3.0):
        written.append(clock[0])
        clock[0] += seconds
        return []

    monkeypatch.setattr(served.seen, "troubles", slow)
    for _ in range(100):
        served.seen.publish(served.seen.status()._replace())
        assert ask(served, path)[0].status == 200
        clock[0] += 1.0
    assert np.diff(written).min() >= 15
    assert len(written) > 5


def test_numbers_that_json_does_not_have_are_null(served):
    """A browser refuses NaN, and would show nothing at all."""
    status = served.seen.status()
    odd = made_status.machine("odd", score=float("nan"), threshold=float("inf"))
    alert = made_status.alert(1, "odd", contributions={"c": float("nan")})
    served.seen.publish(
        status._replace(machines=(*status.machines, odd), alerts=(alert,), counters={"x": [float("nan")]})
    )
    found = json.loads(ask(served, "/status.json")[1], parse_constant=lambda name: pytest.fail(name))
    assert (found["machines"][-1]["score"], found["machines"][-1]["threshold"]) == (None, None)
    assert found["alerts"][0]["contributions"] == [["c", None]]
    assert found["counters"] == {"x": [None]}


def test_the_last_hour_of_a_machine(served):
    """120 intervals that end now; no score is null."""
    found = told(served, "/machines/press%203.json")
    assert found["machine"] == "press 3"
    assert len(found["times"]) == len(found["scores"]) == len(found["thresholds"]) == INTERVALS
    assert made_status.NOW - 31 < found["times"][-1] <= made_status.NOW
    assert found["scores"][-1] == pytest.approx(1.31, rel=0.3)
    assert found["thresholds"][-1] == 0.5
    assert set(told(served, "/machines/mixer%208.json")["scores"]) == {None}


@pytest.mark.parametrize("name", [*made_status.HOSTILE, "a/b", "..", "../page", "ä ö", "%41", "half \ud83d pair"])
def test_machines_of_any_name_are_found(served, name):
    """The name stands percent-encoded in the path, and comes back as it is."""
    served.seen.place(name, RecentScores(1), 0)
    quoted = quote(name.encode(errors="surrogatepass"), safe="")
    if "\ud83d" in name:
        assert ask(served, f"/machines/{quoted}.json")[0].status == 404  # no UTF-8 can say it
    else:
        assert told(served, f"/machines/{quoted}.json")["machine"] == name


def test_before_the_first_status_the_page_knows(tmp_path):
    """It is told that the gateway starts, not that it has no machines."""
    made = Served(None, str(tmp_path))
    try:
        found = told(made, "/status.json")
        assert "name" not in found
        assert found["machines"] == []
        assert found["troubles"] == ["the gateway is still starting"]
        assert ask(made, "/healthz")[0].status == 503
        assert ask(made, "/metrics")[0].status == 200
    finally:
        made.web.stop()


def health(served):
    """Status and reasons."""
    answer, body = ask(served, "/healthz")
    found = json.loads(body)
    assert found["healthy"] == (answer.status == 200)
    return answer.status, found.get("reasons", [])


def test_a_gateway_that_works_is_healthy(served):
    """With nothing else said."""
    assert ask(served, "/healthz")[1] == b'{"healthy": true}'


def test_a_loop_that_stands_still_is_not(served):
    """After ten seconds without a status; and the page gets its age."""
    served.later = 9.5
    assert health(served)[0] == 200
    served.later += 5.0
    assert health(served) == (503, ["the gateway's loop has stood still for 14 s"])
    assert told(served, "/status.json")["age_s"] == 14.5
    served.seen.publish(served.seen.status())
    assert health(served)[0] == 200


def test_a_database_that_cannot_be_written_is_not(served):
    """Until it can."""
    status = served.seen.status()
    served.seen.publish(status._replace(can_store=False))
    assert health(served) == (503, ["alerts and states cannot be written to the database"])
    served.seen.publish(status)
    assert health(served)[0] == 200


def test_a_broker_that_stays_away_is_not(served):
    """After five minutes in a row; a short interruption is what the outbox is for."""
    status = served.seen.status()
    away = status._replace(is_connected=False)
    for _ in range(3):
        served.seen.publish(away)
        served.later += 290
        served.seen.publish(away)
        assert health(served)[0] == 200
        served.seen.publish(status)
    served.seen.publish(away)
    served.later += 301
    served.seen.publish(away)
    assert health(served) == (503, ["the broker broker.plant:8883 has been away for 301 s"])
    served.seen.publish(away._replace(broker=None))
    assert health(served)[0] == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1234", "127.0.0.1:9", "127.1.2.3", "[::1]", "[::1]:80", "LOCALHOST:80"]
)
def test_loopback_answers_to_its_own_names(served, host):
    """With any port: a tunnel has another one."""
    assert ask(served, "/status.json", headers={"Host": host})[0].status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9300",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "@localhost",
        "[::2]",
    ],
)
def test_a_page_on_the_internet_cannot_read_it(served, host):
    """DNS rebinding: its own name leads to this loopback, but the browser still says the name."""
    answer, body = ask(served, "/status.json", headers={"Host": host})
    assert answer.status == 421
    assert b"press" not in body


def test_an_open_address_answers_to_any_name(tmp_path):
    """On the plant's network nobody knows what it is called there."""
    made = Served(made_status.plant(3), str(tmp_path))
    made.web.stop()
    made.web.start("0.0.0.0", 0)
    try:
        assert ask(made, "/healthz", headers={"Host": "gateway.plant"})[0].status == 200
        with connect(made) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert status_of(until_closed(connection)) == 421  # HTTP/1.1 demands the header
    finally:
        made.web.stop()


def test_large_answers_are_compressed_for_those_who_want_it(served):
    """And for nobody else; caches are told that it depends."""
    for accepted, is_packed in (
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("", False),
    ):
        answer, body = ask(served, "/page.js", headers={"Accept-Encoding": accepted})
        assert (answer.headers["Content-Encoding"] == "gzip") == is_packed, accepted
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert int(answer.headers["Content-Length"]) == len(body)
        assert b"status.json" in (gzip.decompress(body) if is_packed else body)
    assert ask(served, "/healthz", headers={"Accept-Encoding": "gzip"})[0].headers["Content-Encoding"] is None


def test_a_connection_serves_many_requests_but_not_for_ever(served, monkeypatch):
    """Kept open between requests, also those sent at once; closed after so many."""
    monkeypatch.setattr(web, "REQUESTS", 3)
    with connect(served) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
        raw = until_closed(connection)
    assert raw.count(b"HTTP/1.1 200") == 3
    assert raw.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_requests_that_are_none_are_refused(served, request_text, status):
    """Too long, with a body, or not HTTP: an answer in JSON that repeats nothing of them, and the connection is over."""
    with connect(served) as connection:
        connection.sendall(request_text)
        raw = until_closed(connection)
    assert status_of(raw) == status
    head, _, body = raw.partition(b"\r\n\r\n")
    assert json.loads(body)["error"]
    assert b"Connection: close" in head
    assert b"Content-Security-Policy" in head
    assert health(served)[0] == 200


def test_a_client_that_sends_a_byte_now_and_then_is_left(served, monkeypatch):
    """Its whole request has one deadline; each byte does not begin a new one."""
    monkeypatch.setattr(web, "PATIENCE_S", 0.4)
    is_closed = threading.Event()
    with connect(served) as connection:

        def drip():
            try:
                for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000:
                    connection.sendall(bytes((byte,)))
                    if is_closed.wait(0.02):
                        return
            except OSError:
                pass

        thread = threading.Thread(target=drip)
        thread.start()
        until_closed(connection)
        is_closed.set()
        thread.join()


def test_a_client_that_says_nothing_is_left(served, monkeypatch):
    """Before its first request and after it."""
    monkeypatch.setattr(web, "IDLE_S", 0.2)
    with connect(served) as connection:
        assert until_closed(connection) == b""
    with connect(served) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(until_closed(connection)) == 200


def test_a_client_that_does_not_take_its_answer_is_left(served, monkeypatch):
    """Its thread is free again, though the answer is larger than what the system keeps for it."""
    monkeypatch.setattr(web, "PATIENCE_S", 0.3)
    monkeypatch.setattr(web, "CONNECTIONS", 1)
    served.seen.publish(made_status.plant(24)._replace(problems=("x" * 20_000_000,)))
    with connect(served) as connection:
        connection.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: ask(served, "/healthz")[0].status == 200)


def wait_for(is_so):
    """Ask until it is so; for what another thread does in its own time."""
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def test_more_connections_than_threads_are_sent_away(served, monkeypatch):
    """At once and politely; and when one of the others ends there is room again."""
    monkeypatch.setattr(web, "CONNECTIONS", 2)
    with connect(served), connect(served) as second:
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(second.recv(4096)) == 200  # both are in
        with connect(served) as third:
            raw = until_closed(third)
        assert status_of(raw) == 503
        assert b"Retry-After" in raw
    wait_for(lambda: ask(served, "/healthz")[0].status == 200)


def test_stopping_ends_open_connections(tmp_path):
    """A browser's idle connection does not keep the gateway; and it can start again on the same port."""
    made = Served(made_status.plant(3), str(tmp_path))
    port = made.web.port
    with connect(made) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(connection.recv(4096)) == 200
        made.web.stop()
        assert until_closed(connection) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=20)
    made.web.start("127.0.0.1", port)
    assert ask(made, "/healthz")[0].status == 200
    made.web.stop()
    made.web.stop()


def test_an_address_that_cannot_be_had_is_one_line(served):
    """It is taken, or not this board's."""
    for address, port in (("127.0.0.1", served.web.port), ("192.0.2.1", 0)):
        other = web.Web(served.web._answers, pytest.fail)
        with pytest.raises(InputError, match=rf"^http: cannot listen on {address} port {port}: \w.*$"):
            other.start(address, port)
        other.stop()


def test_starting_asks_no_name_server(tmp_path, monkeypatch):
    """Where there is none, that takes as long as it likes."""
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("asked for a name"))
    Served(made_status.plant(1), str(tmp_path)).web.stop()


def test_a_fault_in_answering_is_told_and_the_next_request_answered(tmp_path, monkeypatch):
    """In one line; a client that goes away is none."""
    made = Served(made_status.plant(1), str(tmp_path))
    monkeypatch.setattr(made.seen, "recent", lambda _: 1 / 0)
    try:
        answer, _ = ask(made, "/machines/x.json")
        assert answer.status == 500
        assert made.faults == ["http: /machines/x.json: ZeroDivisionError: division by zero"]
        connect(made).close()
        assert ask(made, "/healthz")[0].status == 200
        assert len(made.faults) == 1
    finally:
        made.web.stop()


def test_ten_thousand_machines_are_one_answer(tmp_path):
    """In pieces that are put together right, with a curve for each."""
    made = Served(made_status.plant(10_000), str(tmp_path))
    try:
        answer, body = ask(made, "/status.json", headers={"Accept-Encoding": "gzip"})
        assert answer.status == 200
        assert len(json.loads(gzip.decompress(body))["machines"]) == 10_000
        assert np.isfinite(told(made, "/machines/pump%209000.json")["scores"][-1])
    finally:
        made.web.stop()
