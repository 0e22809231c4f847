"""The line between a night's flow (or a person) and its nightwatch: a Unix socket in the run directory.

One JSON request per connection. `step` asks for a step and streams the night's status until it is
over; `status` answers once; `stop` ends the night early. An open `step` connection is how the
nightwatch knows that somebody is still following.
"""

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.night_board import NightBoard
from tasks.night_status import NightStatus, status_from

ANSWER_WITHIN_S = 10.0
REPEAT_EVERY_S = 1.0
"""A follower hears at least this often, so that a dead line is noticed."""


class NightwatchGone(NightError):
    """Nobody answers in this run directory."""


@contextmanager
def _socket_path(run: RunDir) -> Iterator[str]:
    """Give a short path to the socket: AF_UNIX paths end at 108 bytes, run directories do not."""
    descriptor = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{run.socket_name}"
    finally:
        os.close(descriptor)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    board: NightBoard
    snapshot: Callable[[], str]


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        try:
            request = json.loads(self.rfile.readline())
            ask = request["ask"]
        except (ValueError, KeyError, TypeError):
            self._answer('{"error": "not a request"}')
            return
        try:
            self._serve(str(ask), request)
        except (BrokenPipeError, ConnectionResetError):
            return

    def _serve(self, ask: str, request: dict[str, str]) -> None:
        board = self.server.board
        if ask == "step":
            self._follow(str(request["step"]))
        elif ask == "stop":
            board.ask_stop(request.get("at"))
            self._answer(self.server.snapshot())
        else:
            self._answer(self.server.snapshot())

    def _follow(self, step: str) -> None:
        board = self.server.board
        with board.follower(step):
            over = False
            while not over:
                over = board.wait_done(step, REPEAT_EVERY_S)
                self._answer(self.server.snapshot())

    def _answer(self, text: str) -> None:
        self.wfile.write(text.replace("\n", " ").encode() + b"\n")


def open_line(run: RunDir, board: NightBoard, snapshot: Callable[[], str]) -> _Server:
    """Return the running server end of the line; `snapshot` gives the status as JSON text."""
    (run.path / run.socket_name).unlink(missing_ok=True)
    with _socket_path(run) as path:
        server = _Server(path, _Handler, bind_and_activate=True)
    server.board, server.snapshot = board, snapshot
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    return server


@contextmanager
def _connection(run: RunDir) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(ANSWER_WITHIN_S)
        try:
            with _socket_path(run) as path:
                line.connect(path)
        except OSError as error:
            raise NightwatchGone(f"{run.path}: no nightwatch answers ({error})") from error
        yield line


def ask(run: RunDir, request: dict[str, str]) -> NightStatus:
    """Return the night's status, after the nightwatch took the request.

    Raises NightwatchGone where nobody answers.
    """
    for status in _answers(run, request):
        return status
    raise NightwatchGone(f"{run.path}: the nightwatch closed the line without an answer")


def follow(run: RunDir, step: str) -> Iterator[NightStatus]:
    """Ask for a step and yield the night's status until it is over.

    Raises NightwatchGone where the line breaks before.
    """
    for status in _answers(run, {"ask": "step", "step": step}):
        yield status
        if step in status.done:
            return
    raise NightwatchGone(f"{run.path}: the nightwatch went away during {step}")


def _answers(run: RunDir, request: dict[str, str]) -> Iterator[NightStatus]:
    with _connection(run) as line:
        line.sendall(json.dumps(request).encode() + b"\n")
        try:
            for text in line.makefile("r"):
                status = status_from(text)
                if status:
                    yield status
        except OSError as error:
            raise NightwatchGone(f"{run.path}: the line broke ({error})") from error


def socket_exists(run: RunDir) -> bool:
    """Return whether the run directory holds a nightwatch's socket."""
    return Path(run.path / run.socket_name).exists()
