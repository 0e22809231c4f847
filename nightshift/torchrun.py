"""Runs one trainer in several processes by torchrun, under the contract.

    python -m nightshift.torchrun --processes 2 -m models.train_fusion

The nightwatch starts a stage so whose plan says `processes = 2`. What torchrun alone does not give: the exit code by
which a trainer says what broke (out of memory, not finite), SIGTERM as a request for a last checkpoint (told to rank 0,
which leads), SIGUSR1 for everybody's stacks, and no process left behind where the launcher is killed (on Linux).

Standard library and torch only.
"""

import atexit
import contextlib
import ctypes
import faulthandler
import gc
import io
import os
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from nightshift.states import TrainerExit

LAUNCHER = "NIGHT_LAUNCHER"
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of linux/prctl.h."""
SIGNALS = "SIGINT,SIGHUP,SIGQUIT"
"""What torchrun handles; SIGTERM and SIGUSR1 are ours."""
USAGE = "python -m nightshift.torchrun --processes N (-m MODULE | SCRIPT) [WORD ...]"
WRITTEN_TO = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
TOLD_BY_CODE = (TrainerExit.OUT_OF_MEMORY, TrainerExit.NOT_FINITE)


def launch(processes: int, program: list[str]) -> int:
    """Return the exit code of a program run in so many processes: 0, what rank by rank was said of a failure, or 1."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ[LAUNCHER] = str(os.getpid())
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # one machine: nobody else may listen
    signal.signal(signal.SIGTERM, _ask_leader)
    signal.signal(signal.SIGUSR1, _ask_all)
    words = [
        "--standalone",
        "--max-restarts",
        "0",
        "--signals-to-handle",
        SIGNALS,
        "--nproc-per-node",
        str(processes),
    ]
    try:
        torchrun.main([*words, "-m", "nightshift.torchrun", "--member", *program])
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        print("torchrun:", ", ".join(f"rank {rank} ended with {code}" for rank, code in codes.items()))
        told = [code for code in TOLD_BY_CODE if code in codes.values()]
        return int(told[0]) if told else 1
    return 0


def agreed(yes: bool) -> bool:
    """Return what rank 0 says, in each process of a torchrun at the same step; `yes` itself where there is but one.

    Whoever stops a step before the others leaves them waiting for its gradients.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return yes
    box = [yes]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def members(launcher: int) -> dict[int, int]:
    """Return rank -> pid, of every process that the launcher with this pid has started."""
    found: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):  # gone while we look, or somebody else's
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) != launcher:
                continue
            told = (folder / "environ").read_bytes().split(b"\0")
            found |= {int(word[5:]): int(folder.name) for word in told if word.startswith(b"RANK=")}
    return found


def _ask_leader(number: int, _frame: FrameType | None) -> None:
    leader = members(os.getpid()).get(0)
    if leader is None:
        sys.exit(128 + number)
    os.kill(leader, number)


def _ask_all(number: int, _frame: FrameType | None) -> None:
    faulthandler.dump_traceback()
    for pid in members(os.getpid()).values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def become(program: list[str]) -> None:
    """Run the program in this process, as one of several: it does not outlive the launcher."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    library = ctypes.CDLL(None)
    if hasattr(library, "prctl"):
        library.prctl(DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != int(os.environ[LAUNCHER]):  # it died before it was asked
            sys.exit(1)
    with _ending_at_once():
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = program
            sys.path[0] = str(Path(program[0]).absolute().parent)
            runpy.run_path(program[0], run_name="__main__")


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """End this process once all that was to be done at exit is done, with the code of what ran within.

    Python would take its modules down under gloo's threads, which then abort a program that has ended well, one time
    in three of a tiny one: https://github.com/pytorch/pytorch/pull/179291. What it left in open files is written.
    """
    code = 1  # of an exception that nobody caught

    def end() -> None:
        for one in gc.get_objects():
            if issubclass(type(one), WRITTEN_TO):
                with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
                    one.flush()
        os._exit(code)

    atexit.register(end)  # registered first, called last
    try:
        yield
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
        raise


def main(words: list[str]) -> int:
    """Return the exit code of the whole."""
    if words[:1] == ["--member"]:
        become(words[1:])
        return 0
    count = words[1] if len(words) > 2 and words[0] == "--processes" else ""
    if not count.isdecimal() or int(count) < 1 or words[2:] == ["-m"]:
        print(f"usage: {USAGE}", file=sys.stderr)
        return 2
    return launch(int(count), words[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
