"""Puts a program that knows nothing of nights under one: it is started, read, stopped in time, and kept.

    command = [
        "{python}", "-m", "nightshift.plain", "--metric", "epoch (?P<epoch>[0-9]+) loss (?P<loss>[0-9.]+)",
        "--keep", "model.pt", "--scores", "scores.jsonl", "--", "{python}", "train.py", "--data", "{input:train}",
    ]

The program runs in `out/work` of its stage, where it finds again what it left when it is started once more. Words that
name files beside the plan are made absolute, `{input:NAME}` is a path of NIGHT_INPUTS. Every line that the pattern
finds is progress and metrics (`epoch` or `step` its step). Files named by `--keep` are copied into a checkpoint when
they have changed and are whole; a file of `--scores` (`nightshift/given_scores.py`) is what the judge ranks by. Before
the deadline the program gets SIGTERM, and SIGKILL where it does not heed it. Standard library only.
"""

import argparse
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from nightshift.checkpoint import MANIFEST, STATE
from nightshift.given_scores import FILE, KIND
from nightshift.instant import boottime_s
from nightshift.trainer import DEADLINE, STOP_ASKED, TrainerRun, open_run

LOOK_EVERY_S = 0.2
RESTS_S = 1.0
"""A file that has not changed for so long is taken for whole."""
INPUT = re.compile(r"\{input:([^}]+)\}")
HEEDS = 0.5
"""Share of `--reserve` that the program has for its own ending; the rest is for keeping what it left."""
STEP_NAMES = ("step", "epoch", "iteration")
KEPT = "plain"


class Plain:
    """One run of somebody's program."""

    def __init__(self, run: TrainerRun, asked: argparse.Namespace) -> None:
        self.run, self.asked = run, asked
        self.pattern = re.compile(asked.metric) if asked.metric else None
        self.work = run.folder.out / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.last: dict[str, float] = {}
        self.saved: dict[str, float] = {}
        self.saved_s = 0.0
        self.scores = self.work / asked.scores if asked.scores else None
        self.seen: dict[Path, tuple[int, int, bool]] = {}
        """Inode, when it was first seen to be written (ns), and whether it replaced another."""

    def restore(self) -> None:
        """Put back the kept files: what a kill has left of them may be torn."""
        if self.run.resume is None:
            return
        for name in self.asked.keep:
            kept = self.run.resume / name
            if kept.is_file():
                shutil.copy2(kept, self.work / name)

    def words(self) -> list[str]:
        """Return the program's command, inputs and files beside the plan by their full paths."""
        told = []
        for word in self.asked.program:
            word = INPUT.sub(lambda match: str(self.run.inputs[match[1]]), word)
            told.append(str(Path(word).absolute()) if _is_file(word) else word)
        return told

    def read(self, line: str) -> None:
        """Take in a line of the program's output; each is a sign of life."""
        found = self.pattern.search(line) if self.pattern else None
        if found is None:
            self.run.beat()
            return
        try:
            values = {name: float(text) for name, text in found.groupdict().items() if text is not None}
            named = next((values[name] for name in STEP_NAMES if name in values), None)
            self.step = int(named) if named is not None else self.step + 1
        except (ValueError, OverflowError):  # "0.5." matches [0-9.]+, and is no number
            self.run.beat()
            return
        self.last |= values
        total = max(self.asked.total, self.step)
        share = self.run.share(self.step, self.asked.total or float("inf"))
        self.run.progress(self.step, samples=self.step, total=total, share=share)
        self.run.metrics(self.step, **values)

    def keep(self, ended_well: bool = False, last: bool = False) -> None:
        """Save the kept files where they have changed and are whole, at most once a second.

        `ended_well`: the program closed them itself. `last`: do not wait for the second to be over.
        """
        files = [self.work / name for name in self.asked.keep if (self.work / name).is_file()]
        whole = [self._whole(path) for path in files]
        changed = {str(path): path.stat().st_mtime for path in files}
        due = ended_well or (all(whole) and (last or boottime_s() - self.saved_s > RESTS_S))
        if files and changed != self.saved and due:
            self.saved, self.saved_s = changed, boottime_s()
            self.run.save(self.step, lambda folder: _copy(files, folder), kind=KEPT)

    def _whole(self, path: Path) -> bool:
        """Return whether a file rests, or came to its place by renaming, as careful programs do, untouched since."""
        now = path.stat()
        inode, written_ns, renamed = self.seen.get(path, (now.st_ino, now.st_mtime_ns, False))
        if now.st_ino != inode:
            inode, written_ns, renamed = now.st_ino, now.st_mtime_ns, True
        self.seen[path] = inode, written_ns, renamed
        return (renamed and now.st_mtime_ns == written_ns) or _age_s(path) > RESTS_S

    def keep_scores(self, ended_well: bool) -> None:
        """Save the scores that the program left, one step behind its own last checkpoint; never half a file."""
        path = self.scores
        if path and path.is_file() and (ended_well or self._whole(path)):
            score = self.last.get(self.asked.select, 0.0)
            self.run.save(
                self.step + 1,
                lambda folder: _copy([path], folder, FILE),
                kind=KIND,
                selection_score=score,
            )

    def settle(self, ended_well: bool) -> None:
        """Keep what an ended program has left; a file that it was just writing when it was ended is passed over."""
        self.keep(ended_well, last=True)
        self.keep_scores(ended_well)

    def until_over(self, child: subprocess.Popen[str]) -> str:
        """Return why it ended: an empty text where it ended by itself."""
        reader = threading.Thread(target=self._read_all, args=(child,), daemon=True)
        reader.start()
        reason, term_s = "", 0.0
        while child.poll() is None:
            self.run.read_control()
            if not reason and (self.run.stop_asked or self.run.seconds_left() <= self.asked.reserve):
                reason = STOP_ASKED if self.run.stop_asked else DEADLINE
                child.terminate()
                term_s = boottime_s()
            if reason and boottime_s() - term_s > self.asked.reserve * HEEDS:
                child.kill()
            self.keep()
            if self.scores and self.scores.is_file():
                self._whole(self.scores)  # seen now, so that its replacement is known for one
            threading.Event().wait(LOOK_EVERY_S)
        reader.join(self.asked.reserve)
        return reason or (STOP_ASKED if self.run.stop_asked else "")  # SIGTERM goes to the whole group

    def _read_all(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            self.read(line)


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # longer than any file's name
        return False


def _age_s(path: Path) -> float:
    """Return how long ago the file was changed, by the clock of its own file system."""
    probe = path.with_name(".now")
    probe.touch()
    return probe.stat().st_mtime - path.stat().st_mtime


def _copy(files: list[Path], folder: Path, name: str = "") -> None:
    for path in files:
        shutil.copy2(path, folder / (name or path.name))


def _asked(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nightshift.plain", description=__doc__)
    parser.add_argument("--metric", default="", help="a pattern with named groups, searched in each line")
    parser.add_argument(
        "--keep", action="append", default=[], help="a file that the program saves; repeatable"
    )
    parser.add_argument("--scores", default="", help="a file of scores that the program leaves for the judge")
    parser.add_argument(
        "--select", default="", help="the metric that chooses among checkpoints; larger is better"
    )
    parser.add_argument("--total", type=int, default=0, help="steps that are planned, where that is known")
    parser.add_argument("--reserve", type=float, default=5.0, help="real seconds kept for its ending")
    parser.add_argument("program", nargs="+", help="behind --: the program and its words")
    asked = parser.parse_args(words)
    wrong = [name for name in asked.keep if Path(name).name != name or name in (STATE, MANIFEST, FILE)]
    if wrong:
        parser.error(
            f"--keep {wrong[0]}: a plain file name is asked for, and {STATE}, {MANIFEST}, {FILE} are taken"
        )
    return asked


def main(words: list[str]) -> int:
    """Return the exit code: 0 where it ended well or was cut, else the program's own."""
    asked = _asked(words)
    run = open_run(watched=False)
    plain = Plain(run, asked)
    plain.restore()
    run.phase("train")
    child = subprocess.Popen(
        plain.words(),
        cwd=plain.work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",  # in this process's group, so that whoever ends this one ends both
    )
    reason = plain.until_over(child)
    if child.returncode and not reason:
        return child.returncode if child.returncode > 0 else 1
    plain.settle(child.returncode == 0)
    run.finish(reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
