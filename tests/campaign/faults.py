"""What happens to a command: each fault runs a job in a sandbox, disturbs it, runs it again, and says what came of it."""

import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from jobs import JOBS, Book, Job, Reference, judge, judge_reader, judge_refusal, run_job
from sandbox import AFTER, FROM, HALF, KILL, ONCE, Ended, Fault, Sandbox, session_members

Verdict = tuple[str, str]
Case = Callable[[Book, Job, Path, random.Random], Verdict]
FAULTS: dict[str, Case] = {}
"""By name. A fault that does not apply to a job raises `DoesNotApply`."""


class DoesNotApply(Exception):
    pass


def fault(name: str) -> Callable[[Case], Case]:
    def register(case: Case) -> Case:
        FAULTS[name] = case
        return case

    return register


def _undamaged(verdict: Verdict) -> Verdict:
    """Nothing that was written is false, so that the same command must resume; a refusal is a fault."""
    return ("refused", verdict[1]) if verdict[0] in ("named", "unnamed") else verdict


def _pick(reference: Reference, random: random.Random, calls: tuple[str, ...] = ()) -> int:
    """The number of one of the job's changes, of these calls."""
    numbers = [i for i, line in enumerate(reference.changes) if not calls or line.split()[0] in calls]
    if not numbers:
        raise DoesNotApply
    return random.choice(numbers)


def _again(place: Sandbox, job: Job, reference: Reference, note: str) -> Verdict:
    outcome, detail = _undamaged(judge(place, job, run_job(place, job), reference))
    return outcome, f"{note}: {detail}" if detail else note


def _killed(kind: int, *calls: str) -> Case:
    def case(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
        reference = book[job.name]
        at = _pick(reference, random, calls)
        with Sandbox(root, reference.start) as place:
            note = f"change {at} ({_short(reference.changes[at])})"
            first = run_job(place, job, Fault(kind, at))
            if first.code != -signal.SIGKILL and (trouble := first.trouble()):
                return trouble[0], f"{note}, not killed: {trouble[1]}"
            return _again(place, job, reference, note)

    return case


def _short(line: str) -> str:
    call, _, path = line.partition(" ")
    return f"{call} {path.partition('/work/')[2]}"


FAULTS["kill"] = _killed(KILL)
FAULTS["half-write"] = _killed(HALF, "write")
FAULTS["kill-after-rename"] = _killed(AFTER, "rename", "unlink", "rmdir")


@fault("kill-twice")
def kill_twice(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """Killed, and killed again while it resumes."""
    reference = book[job.name]
    first, second = _pick(reference, random), _pick(reference, random)
    with Sandbox(root, reference.start) as place:
        run_job(place, job, Fault(KILL, first))
        run_job(place, job, Fault(random.choice((KILL, AFTER)), second))
        return _again(place, job, reference, f"changes {first} and {second}")


def _refused_by_system(error: int, kind: int, *calls: str) -> Case:
    def case(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
        reference = book[job.name]
        at = _pick(reference, random, calls)
        with Sandbox(root, reference.start) as place:
            note = f"{errno.errorcode[error]} at change {at} ({_short(reference.changes[at])})"
            first = run_job(place, job, Fault(kind, at, error))
            if trouble := first.trouble():
                return trouble[0], f"{note}: {trouble[1]}"
            if first.code == 0:  # not needed, or met by nothing: then the result must be whole
                outcome, detail = judge(place, job, first, reference, may_leave=True)
                if outcome != "equal":
                    return outcome, f"{note}, exit 0: {detail}"
            elif judge_refusal(place, first)[0] == "unnamed":
                return "unnamed", f"{note}: {judge_refusal(place, first)[1]}"
            return _again(place, job, reference, note)

    return case


FAULTS["disk-full"] = _refused_by_system(errno.ENOSPC, FROM)
FAULTS["input-output-error"] = _refused_by_system(errno.EIO, ONCE, "write", "fsync", "rename")
FAULTS["too-many-files"] = _refused_by_system(errno.EMFILE, ONCE, "open")


def _interrupted(number: int) -> Case:
    def case(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
        reference = book[job.name]
        after = random.random() * reference.seconds
        name = signal.Signals(number).name
        with Sandbox(root, reference.start) as place:
            fresh = random.random() < 0.1  # with the interpreter's start and end
            running = place.start_fresh(job.argv) if fresh or job.fresh else place.start(job.argv)
            time.sleep(after + (random.random() * 4 if fresh else 0.02))
            running.signal(number)
            told = running.seconds()
            first = running.wait()
            note = f"{name} after {after:.2f} s{', fresh' if fresh else ''}"
            took = first.seconds - first.waited - told
            # Before Python has a handler, and after all is done, a signal ends the process without a word; while Python
            # itself starts, Python tells of it.
            silent = first.code == -number and "Traceback" not in first.err
            silent = silent or (
                fresh and first.code == 1 and "KeyboardInterrupt" in first.err and "l2m" not in first.err
            )
            if not silent and (trouble := first.trouble()):
                return trouble[0], f"{note}: {trouble[1]}"
            if took > 10:
                return "hung", f"{note}: ended {took:.1f} s later"
            if number == signal.SIGINT and first.code not in (0, 130, -signal.SIGINT) and not silent:
                return "unnamed", f"{note}: exit {first.code}, {first.err[-200:]!r}"
            return _again(place, job, reference, note)

    return case


FAULTS["interrupt"] = _interrupted(signal.SIGINT)
FAULTS["terminate"] = _interrupted(signal.SIGTERM)


@fault("two-at-once")
def two_at_once(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """Each of the two does it or says in one line that the other is at it; the folder is whole after."""
    reference = book[job.name]
    with Sandbox(root, reference.start) as place:
        first = place.start_fresh(job.argv) if job.fresh else place.start(job.argv)
        time.sleep(random.random() * min(reference.seconds, 0.5))
        second = place.start_fresh(job.argv) if job.fresh else place.start(job.argv)
        for number, ended in enumerate((first.wait(), second.wait())):
            if trouble := ended.trouble():
                return trouble[0], f"process {number}: {trouble[1]}"
            if ended.code:
                outcome, detail = judge_refusal(place, ended)
                if "in use" not in detail:
                    return ("refused" if outcome == "named" else outcome), f"process {number}: {detail}"
        return _again(place, job, reference, "both ended")


@fault("orphans")
def orphans(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """The parent is killed: its workers end."""
    if job.name != "sweep":
        raise DoesNotApply
    reference = book[job.name]
    argv = [*job.argv, "--workers", "2"]
    with Sandbox(root, reference.start) as place:
        sweep = (place.work / "in" / "sweep.toml").read_text().replace("steps = 4\n", "steps = 100000\n")
        (place.work / "in" / "sweep.toml").write_text(sweep)
        running = place.start_fresh(argv)
        end = time.monotonic() + 60
        while not list(place.work.glob("sw/*/metrics.jsonl")) and time.monotonic() < end:
            time.sleep(0.2)
        time.sleep(random.random())
        running.signal(signal.SIGKILL)
        running.wait()
        end = time.monotonic() + 20
        while (left := session_members(running.process)) and time.monotonic() < end:
            time.sleep(0.2)
        for process in left:
            os.kill(process, signal.SIGKILL)
        return ("hung", f"{len(left)} workers still ran 20 s after their parent was killed") if left else ("equal", "")


# Written for people, read by no command.
_FOR_PEOPLE = (".svg", ".html", ".png")
DAMAGES = ("flip", "cut", "empty", "remove", "swap")


def _damage(path: Path, how: str, other: Path | None, random: random.Random) -> str:
    data = path.read_bytes()
    if how == "swap":
        if other is None or not other.is_file() or other.read_bytes() == data:
            how = "flip"
        else:
            shutil.copyfile(other, path)
            return "swapped with another job's"
    if how == "flip" and data:
        where, bit = random.randrange(len(data)), random.randrange(8)
        path.write_bytes(data[:where] + bytes([data[where] ^ 1 << bit]) + data[where + 1 :])
        return f"bit {bit} of byte {where} of {len(data)} flipped"
    if how == "cut" and len(data) > 1:
        size = random.randrange(1, len(data))
        path.write_bytes(data[:size])
        return f"cut to {size} of {len(data)} bytes"
    if how == "remove":
        path.unlink()
        return "removed"
    path.write_bytes(b"")
    return "emptied"


def _damageable(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "tfevents" not in path.name]
    return [
        path
        for path in files
        if path.suffix not in _FOR_PEOPLE
        and not (path.name.startswith(".") and path.suffix == ".tmp")
        and path.name != ".lock"
    ]


@fault("tamper-unfinished")
def tamper_unfinished(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """A file of a killed run is damaged; the same command resumes to the same bytes, or names the file."""
    if job.out == "." or job.partial:
        raise DoesNotApply
    reference = book[job.name]
    with Sandbox(root, reference.start) as place:
        at = _pick(reference, random)
        run_job(place, job, Fault(KILL, at))
        return _tampered_rerun(book, place, job, reference, random, f"killed at change {at}")


@fault("tamper-finished")
def tamper_finished(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """A file of a finished run is damaged; the same command again."""
    if job.out == "." or job.partial:
        raise DoesNotApply
    reference = book[job.name]
    with Sandbox(root, reference.finished) as place:
        return _tampered_rerun(book, place, job, reference, random, "finished")


def _tampered_rerun(
    book: Book, place: Sandbox, job: Job, reference: Reference, random: random.Random, note: str
) -> Verdict:
    files = _damageable(place.work / job.out)
    if not files:
        raise DoesNotApply
    path = random.choice(files)
    name = path.relative_to(place.work)
    how = _damage(path, random.choice(DAMAGES), reference.other and reference.other / name, random)
    ended = run_job(place, job)
    if job.then and ended.code == 0 and not ended.trouble():  # a share of the work: what it damages shows in the whole
        job, reference = JOBS[job.then], book[job.then]
        ended = run_job(place, job)
    outcome, detail = judge(place, job, ended, reference)
    if outcome == "silent" and "checkpoints" in name.parts:
        others = {
            word.partition(":")[0].removesuffix(" (missing)")
            for word in detail.partition("undisturbed: ")[2].split(", ")
        }
        if all((name.parent / Path(other).name).as_posix().endswith(other) for other in others):
            outcome, detail = "equal", "a checkpoint of a finished run is not read again"
    return outcome, f"{note}, {name} {how}: {detail}"


@fault("tamper-read")
def tamper_read(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """A file of a finished run is damaged; a command that reads the run."""
    if not job.readers:
        raise DoesNotApply
    reference = book[job.name]
    number = random.randrange(len(job.readers))
    argv = job.readers[number]
    with Sandbox(root, reference.finished) as place:
        files = _damageable(place.work / job.out) if job.out != "." else [place.work / argv[1]]
        # A record that is another's, whole and true, is not damage.
        named = [path for path in files if path.relative_to(place.work).as_posix() in argv]
        path = random.choice(named or files)
        name = path.relative_to(place.work)
        how = _damage(path, random.choice(DAMAGES[:4]), None, random)
        outcome, detail = judge_reader(place.run(argv), place, reference.readers[number])
        return outcome, f"l2m {' '.join(argv)}, {name} {how}: {detail}"


@fault("threads")
def threads(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """Other threads, parts or memory: the same bytes of the result."""
    if job.name not in ("two-point", "ngrams"):
        raise DoesNotApply
    reference = book[job.name]
    argv = list(job.argv)
    argv[argv.index("--threads") + 1] = str(random.choice((1, 2, 3)))
    memory = random.choice(([], ["--memory", "112MiB"], ["--memory", "256MiB"]))
    argv += memory
    with Sandbox(root, reference.start) as place:
        # A forked process holds all libraries, more than these budgets.
        ended = place.start_fresh(argv).wait() if memory else place.run(argv)
        outcome, detail = judge(place, job, ended, reference)
        return outcome, f"{' '.join(argv)}: {detail}"


@fault("memory")
def memory(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """A count of three million tokens stays within 1.1 times its --memory, beside the interpreter and the mapped tokens."""
    if job.name not in ("two-point", "ngrams"):
        raise DoesNotApply
    size = random.choice((64, 96, 160))
    argv = [job.name, "SHARED/big", "--threads", str(random.choice((1, 2))), "--memory", f"{size}MiB"]
    argv += ["--distances", "1,2,4", "--groups", "8"] if job.name == "two-point" else []
    with Sandbox(root) as place:
        ended = place.start_fresh(argv).wait()
        if trouble := ended.trouble():
            return trouble
        if ended.code:
            return "refused", ended.err[-300:]
        allowed = 1.1 * (size << 20) + _INTERPRETER
        note = f"{' '.join(argv)}: {ended.memory >> 20} MiB, allowed {int(allowed) >> 20}"
        return ("hung" if ended.memory > allowed else "equal"), note


_INTERPRETER = 90 << 20
"""Python with numpy and the command line: 84 MiB after a dry run; and 6 MiB of tokens."""


@fault("again")
def again(book: Book, job: Job, root: Path, random: random.Random) -> Verdict:
    """The same command on what it finished: the same bytes."""
    reference = book[job.name]
    with Sandbox(root, reference.finished) as place:
        return _again(place, job, reference, "finished")


def cases() -> list[tuple[str, str]]:
    return [(job, name) for job in JOBS for name in FAULTS]


__all__ = ["FAULTS", "DoesNotApply", "Ended", "cases"]
