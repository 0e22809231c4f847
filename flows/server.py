"""A Prefect server: the one that PREFECT_API_URL names, or a real local one for as long as it is needed."""

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightshift.states import NightError

EVERYWHERE = "0.0.0.0"
LOOPBACK = "127.0.0.1"
DATABASE, AUTH = "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_AUTH_STRING"
CLIENT_AUTH = "PREFECT_API_AUTH_STRING"
LEASES = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}
"""A server that forgets at its restart who holds a slot crashes the flow of the night that runs."""
START_WITHIN_S = 90.0


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def server_environment(home: Path, port: int, host: str = LOOPBACK) -> dict[str, str]:
    """Return the environment of a local server: loopback, no analytics, SQLite under the run home.

    A database that the person's own environment names is kept.
    """
    folder = home.resolve() / ".prefect"
    folder.mkdir(parents=True, exist_ok=True)
    database = os.environ.get(DATABASE) or f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
    return (
        LEASES
        | os.environ
        | {
            "PREFECT_HOME": str(folder),
            DATABASE: database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_API_HOST": host,
            "PREFECT_SERVER_API_PORT": str(port),
            # From another machine the page must not look for the API on that one.
            "PREFECT_UI_API_URL": f"http://{LOOPBACK}:{port}/api" if host == LOOPBACK else "/api",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        }
    )


def client_environment(url: str, home: Path) -> dict[str, str]:
    """Return the environment of processes that talk to this server: our own with the password that it was given."""
    own, password = not os.environ.get("PREFECT_API_URL"), os.environ.get(AUTH)
    let_in = {CLIENT_AUTH: os.environ.get(CLIENT_AUTH) or password} if own and password else {}
    return let_in | {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(home.resolve() / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }


def server_pid(home: Path) -> int | None:
    """Return the pid of the server that was started for this home last, or None."""
    try:
        return int((home.resolve() / ".prefect" / "server.pid").read_text())
    except (OSError, ValueError):
        return None


def _refuse_taken(port: int, host: str, home: Path) -> None:
    """Raise NightError where somebody listens on this port: whoever asks there would get the other server's answers."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            earlier = server_pid(home)
            left = f" (process {earlier} was the server of this folder last)" if earlier else ""
            raise NightError(
                f"port {port} of {host}: {error.strerror}; another server answers there{left}: end it, choose another "
                "--port, or set PREFECT_API_URL to use it"
            ) from None


def healthy(url: str) -> bool:
    """Return whether a server answers there."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers.

    Raises NightError where it died or stays silent.
    """
    pause = threading.Event()
    for _ in range(int(START_WITHIN_S / 0.25)):
        if healthy(url):
            return
        if process.poll() is not None:
            raise NightError(f"the Prefect server ended at start; its last words are in {log}")
        pause.wait(0.25)
    raise NightError(f"the Prefect server did not answer within {START_WITHIN_S:.0f} s; see {log}")


def end(process: subprocess.Popen[bytes], within_s: float = 15.0) -> None:
    """End a process of Prefect's: asked first, then not; one that hangs at its end must not hold the command."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def prefect_server(home: Path, port: int | None = None, host: str = LOOPBACK) -> Iterator[str]:
    """Give the API URL of a running server; one that was started here is ended again.

    Raises NightError where it cannot be started, or would be open to the network without a password.
    """
    named = os.environ.get("PREFECT_API_URL")
    if named:
        yield named
        return
    if host != LOOPBACK and not os.environ.get(AUTH):
        raise NightError(
            f"--host {host} opens the Prefect server to the network: set {AUTH}=USER:PASSWORD for it, and "
            f"{CLIENT_AUTH} to the same for whoever talks to it from elsewhere"
        )
    home.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    _refuse_taken(port, host, home)
    environment = server_environment(home, port, host)
    log = home / ".prefect" / "server.log"
    url = f"http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    (home / ".prefect" / "server.pid").write_text(str(process.pid))
    try:
        wait_for_health(url, process, log)
        yield url
    finally:
        end(process)
