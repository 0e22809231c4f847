"""A notice through a notification block that a real Prefect server keeps: its address is the server's secret."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SEND = """
import sys
from pathlib import Path
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from flows.notify import tell
from tasks.notices import Notice
where, folder = sys.argv[1:]
CustomWebhookNotificationBlock(
    name="night", url=where, json_data={"title": "{{subject}}", "text": "{{body}}"}
).save("night", overwrite=True)
for _ in range(2):
    tell(Path(folder), Notice("bedtime", "LOOK: fusion", "It will probably be all right.", "0" * 64))
"""


@pytest.fixture
def hook():
    """Somebody who is told: the address, and what came there."""
    came = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}/planted-hook-8842", came
    listening.shutdown()


def told(server, hook, folder, block):
    environment = os.environ | server | {"PYTHONPATH": str(REPOSITORY), "NIGHTSHIFT_NOTIFY_BLOCK": block}
    environment.pop("NIGHTSHIFT_NOTIFY", None)
    return subprocess.run(
        [sys.executable, "-c", SEND, hook, str(folder)], env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


def test_a_notice_goes_through_the_block_once_and_leaves_no_address(server, hook, tmp_path):
    where, came = hook
    done = told(server, where, tmp_path, "custom-webhook/night")
    assert done.returncode == 0, done.stderr
    assert [one["title"] for one in came] == ["LOOK: fusion"], "the same fact is told once"
    assert "probably be all right" in came[0]["text"]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"planted-hook-8842" not in kept + (done.stdout + done.stderr).encode()


def test_a_block_that_is_not_there_is_named_and_the_notice_kept(server, hook, tmp_path):
    where, came = hook
    done = told(server, where, tmp_path, "slack-webhook/nobody")
    assert done.returncode == 0, done.stderr
    assert came == []
    assert "slack-webhook/nobody" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()), "it is kept, and tried again"
