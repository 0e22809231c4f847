"""Notices: at most one per fact, tried again, kept in a file at last; from the nightwatch itself to a real receiver."""

import http.server
import json
import threading

import pytest
from small_night import counting_plan

from tasks.notices import LAST_RESORT, Notice, claim, head_of, send, through_apprise

NOTICE = Notice("handed-over", "GO: fusion", "All is met.", "ab" * 32)


@pytest.fixture
def receiver():
    """A real HTTP server that keeps what it is sent; the first `refuse` requests get a 500."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.server.refuse:
                self.server.refuse -= 1
                self.send_response(500)
            else:
                self.server.got.append(body)
                self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.refuse = [], 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def address(server):
    return f"json://127.0.0.1:{server.server_address[1]}"


def test_a_fact_is_told_once_and_carries_the_head_of_the_ledger(tmp_path, receiver):
    deliver = through_apprise([address(receiver)])
    assert send(tmp_path, NOTICE, deliver)
    assert not send(tmp_path, NOTICE, deliver)
    [got] = receiver.got
    assert got["title"] == "GO: fusion"
    assert "All is met." in got["message"]
    assert "ledger abababababababab" in got["message"]
    assert json.loads((tmp_path / "handed-over.json").read_text())["sent"] is True


def test_a_refused_notice_is_tried_again(tmp_path, receiver):
    receiver.refuse = 2
    assert send(tmp_path, NOTICE, through_apprise([address(receiver)]), pauses_s=(0.01, 0.01, 0.01))
    assert len(receiver.got) == 1
    assert json.loads((tmp_path / "handed-over.json").read_text())["tries"] == 3


def test_what_can_be_sent_nowhere_is_kept_in_a_file(tmp_path):
    assert not send(tmp_path, NOTICE, through_apprise(["json://127.0.0.1:9"]), pauses_s=(0.01,))
    assert "All is met." in (tmp_path / LAST_RESORT).read_text()
    record = json.loads((tmp_path / "handed-over.json").read_text())
    assert (record["sent"], record["tries"]) == (False, 2)


def test_two_who_tell_the_same_fact_at_once_tell_it_once(tmp_path):
    claims = []
    threads = [threading.Thread(target=lambda: claims.append(claim(tmp_path, "bedtime"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(path is not None for path in claims) == 1


def test_the_nightwatch_tells_of_a_night_that_nobody_follows(opened, tmp_path, monkeypatch, receiver):
    monkeypatch.setenv("NIGHTSHIFT_NOTIFY", address(receiver))
    night = opened(counting_plan(tmp_path, 10))
    night.wait_over()
    for _ in range(100):
        if len(receiver.got) >= 2:
            break
        threading.Event().wait(0.1)
    titles = [got["title"] for got in receiver.got]
    assert len(titles) == len(set(titles)) == 2
    assert titles[0].startswith("Tonight: ")
    assert titles[1].startswith("PAUSE AND FIX: small")
    assert head_of(night.run)[:16] in receiver.got[1]["message"]


def test_a_night_without_an_address_sends_nothing(opened, tmp_path, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_NOTIFY", raising=False)
    night = opened(counting_plan(tmp_path, 10))
    night.follow_all()
    assert not night.run.notices.exists()
