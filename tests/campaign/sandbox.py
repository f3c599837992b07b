"""A folder of its own for each case, processes forked in it with a fault armed, and what their ends mean."""

import contextlib
import ctypes
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUTCOMES = ("equal", "named", "unnamed", "refused", "traceback", "silent", "hung", "escaped")
FAILURES = frozenset(OUTCOMES[3:])
"""`refused`: nothing was damaged, and the same command does not resume."""
TIMEOUT = 120.0
"""Seconds, without those in which the process was ready and the machine did other work."""
KILL, HALF, AFTER, ONCE, FROM = 1, 2, 3, 4, 5  # as in shim.c
_MEMORY = 1 << 30
"""Bytes a process on these inputs may add to what it was forked with."""
# Differ from run to run; leaves that differ between two clean runs are found besides.
_VOLATILE = re.compile(
    r"second|time|started|ended|host|pid|per_s|share|speed|memory|modified|free|batch_tokens|created|wall|load|rate$|bytes_per"
)


@dataclass(frozen=True)
class Fault:
    """The `at`-th change of a file below `work` meets `kind`."""

    kind: int
    at: int
    error: int = 0


@dataclass
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str
    seconds: float
    waited: float = 0.0
    """Of these, how long it waited for a processor."""
    changes: list[str] = field(default_factory=list)
    escaped: list[str] = field(default_factory=list)
    hung: bool = False
    memory: int = 0

    def trouble(self) -> tuple[str, str] | None:
        """What no end may show, as (outcome, detail)."""
        if self.escaped:
            return "escaped", self.escaped[0]
        if self.hung:
            return "hung", f"no end within {TIMEOUT:.0f} s; {_last(self.err)}"
        if "Traceback (most recent call last)" in self.err or "panicked at" in self.err:
            return "traceback", _last(self.err)
        if "Exception ignored" in self.err:
            return "traceback", _last(self.err)
        if self.memory > _MEMORY:
            return "hung", f"took {self.memory >> 20} MiB"
        if self.code < 0:
            return "traceback", f"died of {signal.Signals(-self.code).name}; {_last(self.err)}"
        return None


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing on stderr"


def build_shim(folder: Path) -> Path:
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = ["cc", "-O1", "-D_LARGEFILE64_SOURCE", "-shared", "-fPIC", "-w", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return target


class Sandbox:
    """`work` is where commands run. They may write there, into `cache` and `tmp`, and nowhere else."""

    shared = Path("/nowhere")
    """What SHARED stands for in a command: read by all cases, written by none."""

    def __init__(self, root: Path, template: Path | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.top = Path(tempfile.mkdtemp(prefix="case-", dir=root))
        self.work = self.top / "a" / "b" / "c" / "work"  # so that ../../../x from a job's folder stays inside `top`
        self.work.parent.mkdir(parents=True)
        for name in ("cache", "tmp", "logs"):
            (self.top / name).mkdir()
        if template is None:
            self.work.mkdir()
        else:
            shutil.copytree(template, self.work, symlinks=True)
        self._number = 0

    def close(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        cache = str(self.top / "cache")
        return {
            "L2M_CACHE": cache,
            "XDG_CACHE_HOME": cache,
            "TMPDIR": str(self.top / "tmp"),
            "CANARY": str(self.top / "canary"),
            "L2M_TRACEBACK": "1",
        }

    def _argv(self, argv: Sequence[str]) -> list[str]:
        return [word.replace("SHARED", str(self.shared)) for word in argv]

    def _shim(self, fault: Fault | None, log: Path) -> tuple[str, str, str, int, int, int]:
        allowed = [
            self.work,
            self.top / "cache",
            self.top / "tmp",
            self.top / "logs",
            "/dev",
            "/proc",
            os.environ["HOME"],
        ]
        fault = fault or Fault(0, -1)
        return (str(self.work), ":".join(map(str, allowed)), str(log), fault.at, fault.kind, fault.error)

    def start(self, argv: Sequence[str], fault: Fault | None = None, *, stdin: bytes = b"") -> "Running":
        """Fork, and run `l2m ARGV` there; "@load FILE" and its like are calls from Python (see `_call`)."""
        self._number += 1
        logs = self.top / "logs"
        out, err, log = (logs / f"{self._number}.{name}" for name in ("out", "err", "log"))
        (logs / f"{self._number}.in").write_bytes(stdin)
        sys.stdout.flush()
        sys.stderr.flush()
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            code = 1
            try:
                code = self._child(self._argv(argv), self._shim(fault, log), logs / f"{self._number}.in", out, err)
            finally:
                os._exit(code)
        return Running(self, process, out, err, log, started)

    def _child(
        self, argv: list[str], shim: tuple[str, str, str, int, int, int], stdin: Path, out: Path, err: Path
    ) -> int:
        os.setsid()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with the campaign
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number, (path, flags) in enumerate(
            ((stdin, os.O_RDONLY), (out, os.O_WRONLY | os.O_CREAT), (err, os.O_WRONLY | os.O_CREAT))
        ):
            file = os.open(path, flags, 0o666)
            os.dup2(file, number)
            os.close(file)
        sys.stdin, sys.stdout = (
            io.TextIOWrapper(io.FileIO(0)),
            io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", "surrogateescape"),
        )
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", "backslashreplace", write_through=True)
        os.chdir(self.work)
        os.environ.update(self.environment())
        tempfile.tempdir = None
        top, allowed, log, at, kind, error = shim
        arm = ctypes.CDLL(None).campaign_arm
        arm(os.fsencode(top), os.fsencode(allowed), os.fsencode(log), ctypes.c_long(at), kind, error)
        sys.argv = ["l2m", *argv]
        try:
            if argv[0].startswith("@"):
                _call(argv)
                code = 0
            else:
                from l2m.cli import main

                main(argv)
        except SystemExit as end:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what follows is the campaign's
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        return code

    def run(
        self, argv: Sequence[str], fault: Fault | None = None, *, stdin: bytes = b"", timeout: float = TIMEOUT
    ) -> Ended:
        return self.start(argv, fault, stdin=stdin).wait(timeout)

    def start_fresh(self, argv: Sequence[str], fault: Fault | None = None) -> "Running":
        """As a user does: a new interpreter, its start and its end included."""
        self._number += 1
        out, err, log = (self.top / "logs" / f"{self._number}.{name}" for name in ("out", "err", "log"))
        environment = {**os.environ, **self.environment(), "CAMPAIGN_SHIM": "|".join(map(str, self._shim(fault, log)))}
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "l2m", *self._argv(argv)],
                cwd=self.work, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        running = Running(self, process.pid, out, err, log, started)
        running.keep = process
        return running


class Running:
    """A process that was started in a sandbox, the head of a session of its own."""

    keep: object = None

    def __init__(self, sandbox: Sandbox, process: int, out: Path, err: Path, log: Path, started: float) -> None:
        self.sandbox, self.process, self.out, self.err, self.log, self.started = (
            sandbox,
            process,
            out,
            err,
            log,
            started,
        )
        self._waited = 0.0

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, number)

    def seconds(self, *, everyone: bool = False) -> float:
        """Since it was started, without those in which it, or with `everyone` one of its children, waited for a processor."""
        processes = [self.process, *(session_members(self.process) if everyone else [])]
        self._waited = max([self._waited, *map(_waited, processes)])
        return time.monotonic() - self.started - self._waited

    def wait(self, timeout: float = TIMEOUT) -> Ended:
        hung, pause, peak = False, 0.001, 0
        while True:
            found, status, usage = os.wait4(self.process, os.WNOHANG)
            if found:
                break
            if not hung and self.seconds() > timeout and self.seconds(everyone=True) > timeout:
                hung = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process, signal.SIGKILL)
                    os.kill(self.process, signal.SIGKILL)
            if self.keep:  # rusage counts what the process was before exec: this interpreter, with all its modules
                peak = max(peak, _peak_memory(self.process))
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        seconds = time.monotonic() - self.started
        lines = _text(self.log).splitlines()
        memory = peak if self.keep else max(0, usage.ru_maxrss * 1024 - _peak_memory(os.getpid()))
        return Ended(
            os.waitstatus_to_exitcode(status), _text(self.out), _text(self.err), seconds, self._waited,
            [line[2:] for line in lines if line.startswith(" ")], self._escapes(lines), hung, memory,
        )  # fmt: skip

    def _escapes(self, lines: list[str]) -> list[str]:
        found = [line[2:] for line in lines if line.startswith("!")]
        top = self.sandbox.top
        if (top / "canary").exists():
            found.append("code of the input ran: the canary is there")
        return found


def _text(path: Path) -> str:
    """Of a process that was ended before it could open its outputs: nothing."""
    return path.read_text(errors="replace") if path.exists() else ""


def _waited(process: int) -> float:
    """Seconds in which the main thread was ready to run and did not; 0 where the kernel does not count them."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{process}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9
    return 0.0


def session_members(number: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == number and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _peak_memory(process: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{process}/status") as file:
        if found := re.search(r"VmHWM:\s+(\d+)", file.read()):
            return int(found[1]) * 1024
    return 0


def _call(argv: list[str]) -> None:
    """What has no command of its own, said as the command line would: one line for an InputError."""
    import l2m
    from l2m.errors import InputError

    try:
        if argv[0] == "@load":
            for path in argv[1:]:
                value = l2m.load(path)
                print(repr(value))
                if hasattr(value, "to_dict"):
                    print(json.dumps(value.to_dict(), sort_keys=True))
        elif argv[0] == "@tokens":
            corpus = l2m.tokenize(argv[1:], "bytes", duplicates="keep")
            print(corpus.tokens.size, len(corpus))
        else:
            raise ValueError(argv[0])
    except InputError as error:
        text = str(error)
        if len(text.splitlines()) != 1:
            raise AssertionError(f"InputError of {len(text.splitlines())} lines: {text!r}") from None
        print(f"l2m: {text}", file=sys.stderr)
        raise SystemExit(2) from None


Tree = dict[str, Any]
"""What a folder holds: relative name -> bytes, or the leaves of JSON by their path."""


def read_tree(folder: Path, top: Path, *, skip: Sequence[str] = ()) -> Tree:
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            path.is_dir()
            or "tfevents" in name
            or path.name == ".lock"
            or any(name.startswith(prefix) for prefix in skip)
        ):
            continue
        tree[name] = _content(path, top)
    return tree


def _content(path: Path, top: Path) -> Any:
    data = path.read_bytes().replace(os.fsencode(top), b"TOP") if not path.is_symlink() else b"-> link"
    if path.suffix in (".json", ".jsonl"):
        with contextlib.suppress(ValueError, RecursionError):
            lines = [data] if path.suffix == ".json" else data.splitlines()
            return dict(_leaves([json.loads(line) for line in lines], ""))
    return data


def _leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    items: Mapping[Any, Any] | None = (
        value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else None
    )
    if not items:
        return [(path, value)]
    return [leaf for key, item in items.items() for leaf in _leaves(item, f"{path}/{key}")]


def parse_out(text: str, top: Path) -> Any:
    text = text.replace(str(top), "TOP")
    with contextlib.suppress(ValueError):
        return dict(_leaves(json.loads(text), ""))
    return text.encode()


def differences(found: Tree, expected: Tree) -> list[str]:
    """Names, and leaves of JSON as NAME:PATH, in which two trees differ, except those that name times and machines."""
    wrong = []
    for name in sorted(found.keys() | expected.keys()):
        if name not in expected:
            wrong.append(f"{name} (left over)")
        elif name not in found:
            wrong.append(f"{name} (missing)")
        elif isinstance(found[name], dict) and isinstance(expected[name], dict):
            a, b = found[name], expected[name]
            wrong += [
                f"{name}:{key}"
                for key in sorted(a.keys() | b.keys())
                if not _same(a.get(key), b.get(key)) and not _VOLATILE.search(key)
            ]
        elif found[name] != expected[name]:
            wrong.append(name)
    return wrong


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or a != a)
