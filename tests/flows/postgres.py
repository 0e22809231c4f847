"""A real PostgreSQL of Debian's package, for one test module: its own folder, loopback, a password."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.server import free_port

USER = "prefect"


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; skips the test loudly where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("NO POSTGRESQL: install Debian's `postgresql`; servers on PostgreSQL are NOT TESTED")
    return found[-1].parent


@contextmanager
def postgres() -> Iterator[str]:
    """Give `user:password@127.0.0.1:port` of a running server, ended and removed afterwards."""
    folder, port, password = (
        Path(tempfile.mkdtemp(prefix="nightshift-pg-")),
        free_port(),
        secrets.token_hex(8),
    )
    binaries = programs()
    # PostgreSQL refuses to run as root.
    as_user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    if as_user:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o644)
    data = folder / "data"
    made = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        USER,
        "-A",
        "scram-sha-256",
        f"--pwfile={folder / 'password'}",
        "-N",
    ]
    subprocess.run([str(word) for word in made], check=True, capture_output=True, cwd="/", **as_user)
    listen = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *listen.split()],
            stdout=log,
            stderr=log,
            cwd="/",
            **as_user,
        )
    try:
        environment = os.environ | {"PGPASSWORD": password}
        at = ["-h", "127.0.0.1", "-p", str(port), "-U", USER]
        for _ in range(100):
            ready = subprocess.run([str(binaries / "pg_isready"), *at], capture_output=True, check=False)
            if ready.returncode == 0:
                break
            threading.Event().wait(0.1)
        subprocess.run([str(binaries / "createdb"), *at, "nights"], check=True, env=environment)
        yield f"{USER}:{password}@127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)  # fast: connections are closed, not waited for
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
