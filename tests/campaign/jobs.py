"""The commands under test on inputs of a few kilobytes, the state each starts from, and the answer of an undisturbed run."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sandbox
from sandbox import Ended, Sandbox, differences, parse_out, read_tree

MODEL = "in/model"
CORPUS = "SHARED/corpus"
"""At one place for all cases, because what is counted names the folder of its corpus."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command that writes `out`.

    Attributes:
        before: the job whose folder it starts from.
        other: the same command with other settings, whose files are swapped in.
        readers: commands that read what it wrote.
        resumable: whether its folder of tasks, checkpoints or parts is what a rerun starts from.
    """

    name: str
    argv: tuple[str, ...]
    out: str
    before: str = ""
    other: tuple[str, ...] = ()
    readers: tuple[tuple[str, ...], ...] = ()
    weight: float = 1.0
    """How often it is drawn; slow ones are drawn less."""
    then: str = ""
    """Of a share of the work: the job that makes the whole, which must notice damage."""
    partial: bool = False
    """Leaves work to other shares, so that damage cannot be noticed yet."""
    fresh: bool = False
    """Starts processes of its own, so that it cannot be forked."""


_TRAIN = (
    "train", "--preset", "mamba-tiny", "--length", "16", "--layers", "1", "--width", "16", "--state", "2", "--batch", "2", "--steps", "6",
    "--save-every", "2", "--evaluate-every", "3", "--evaluate-sequences", "2", "--log-every", "1", "--no-tensorboard", "--threads", "1",
    "--device", "cpu", "--copies", "4", "--warmup", "1",
)  # fmt: skip
_SCORE = (
    "--model",
    MODEL,
    "--length",
    "64",
    "--windows",
    "9",
    "--threads",
    "1",
    "--device",
    "cpu",
    "--max-batch-tokens",
    "256",
)
_WORDS = ("--tokenizer", "words", "--json")

JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Job(
            name="tokenize", argv=("tokenize", "in/texts", "--out", "corpus", *_WORDS), out="corpus",
            other=("tokenize", "in/texts", "--out", "corpus", *_WORDS, "--min-tokens", "3", "--glob", "*.txt"),
            readers=(("corpus", "info", "corpus", "--json"), ("@load", "corpus"), ("ngrams", "corpus", "--json", "--n-max", "2", "--threads", "1")),
        ),
        *(
            Job(name=f"shard{i}", argv=("tokenize", "in/texts", "--out", "parted", *_WORDS, "--shard", f"{i}/3"), out="parted",
                before=f"shard{i - 1}" if i else "", partial=i < 2, then="merge")
            for i in range(3)
        ),
        Job(name="merge", argv=("merge", "parted", "--json"), out="parted", before="shard2", readers=(("corpus", "info", "parted", "--json"),)),
        Job(
            name="two-point", argv=("two-point", CORPUS, "--out", "tp", "--threads", "1", "--groups", "8", "--parts", "4", "--json"), out="tp",
            other=("two-point", CORPUS, "--out", "tp", "--threads", "1", "--groups", "8", "--parts", "4", "--seed", "1", "--json"),
            readers=(("@load", "tp/two_point.json"), ("condition", "tp/two_point.json", MODEL)),
        ),
        Job(
            name="count-shard", argv=("two-point", CORPUS, "--out", "s0", "--threads", "1", "--groups", "8", "--parts", "4", "--shard", "0/2"), out="s0", partial=True,
        ),
        Job(
            name="count-shard1", argv=("two-point", CORPUS, "--out", "s1", "--threads", "1", "--groups", "8", "--parts", "4", "--shard", "1/2"), out="s1",
            before="count-shard", then="count-merge",
        ),
        Job(name="count-merge", argv=("merge", "s0", "s1", "--out", "whole", "--json"), out="whole", before="count-shard1"),
        Job(
            name="ngrams", argv=("ngrams", CORPUS, "--out", "ng", "--threads", "1", "--n-max", "3", "--table", "2", "--parts", "3", "--json"), out="ng",
            other=("ngrams", CORPUS, "--out", "ng", "--threads", "1", "--n-max", "4", "--parts", "3", "--json"),
            readers=(("@load", "ng/ngrams.json"),),
        ),
        Job(
            name="score", argv=("score", "in/texts", *_SCORE, "--out", "scores", "--ratios", "2", "--json"), out="scores",
            other=("score", "in/texts", *_SCORE, "--out", "scores", "--ratios", "2", "--seed", "3", "--json"),
            readers=(("bipartite", "scores", "--json"), ("nll", "scores", "--json"), ("@load", "scores")), weight=0.7,
        ),
        Job(
            name="bipartite", argv=("bipartite", "scores", "--out", "curves", "--json"), out="curves", before="score",
            readers=(("@load", "curves/direct-2-none.json"),),
        ),
        Job(name="nll", argv=("nll", "scores", "--out", "nll", "--json"), out="nll", before="score"),
        Job(
            name="measure",
            argv=("measure", "in/texts", *(x for x in _SCORE if x), "--out", "m", "--json"), out="m",
            other=("measure", "in/texts", *_SCORE, "--out", "m", "--seed", "4", "--json"),
            readers=(("condition", "m", MODEL, "--json"), ("@load", "m/results.json")), weight=0.3,
        ),
        Job(name="train", argv=(*_TRAIN, "--out", "run", "--json"), out="run", other=(*_TRAIN, "--out", "run", "--seed", "5", "--json"),
            readers=(("evaluate", "run", "--sequences", "2", "--threads", "1", "--device", "cpu", "--json"),), weight=0.7),
        Job(name="evaluate", argv=("evaluate", "run", "--sequences", "4", "--threads", "1", "--device", "cpu", "--out", "ev", "--json"), out="ev",
            before="train", readers=(("@load", "ev/run-record.json"),)),
        Job(name="sweep", argv=("sweep", "in/sweep.toml", "--out", "sw", "--threads", "1", "--device", "cpu", "--sequences", "2", "--json"), out="sw",
            weight=0.5),
        Job(name="condition", argv=("condition", "in/law.json", MODEL, "--report", "c.html", "--figure", "c.svg", "--json"), out="."),
        Job(name="fit", argv=("fit", "in/curve.csv", "--out", "fit.json", "--figure", "fit.svg", "--json"), out=".", readers=(("@load", "fit.json"),)),
        Job(name="entropy", argv=("entropy", "in/texts/0.txt", "--estimator", "grassberger", "--out", "entropy.json", "--json"), out=".",
            readers=(("@load", "entropy.json"),)),
        Job(name="gaussian", argv=("gaussian", "--layers", "3", "--out", "gauss", "--json"), out="gauss", weight=0.5),
    )
}  # fmt: skip


@dataclass
class Reference:
    """An undisturbed run: the folders before and after it, what it printed, and what differs from one such run to the next."""

    start: Path
    finished: Path
    other: Path | None
    tree: sandbox.Tree
    seconds: float
    changes: list[str]
    volatile: frozenset[str]
    readers: list[tuple[Any, frozenset[str]]]


def make_inputs(folder: Path) -> None:
    """Texts, a model of two layers, a sweep of two runs, a curve and a law."""
    import numpy as np

    texts = folder / "in" / "texts"
    texts.mkdir(parents=True)
    documents = some_texts(12, words=220)
    for number, text in enumerate(documents[:9]):
        (texts / f"{number}.txt").write_text(text)
    (texts / "more.jsonl").write_text(
        "".join(json.dumps({"id": f"j{i}", "text": text}) + "\n" for i, text in enumerate(documents[9:]))
    )
    make_model(folder / MODEL, documents)
    (folder / "in" / "sweep.toml").write_text(SWEEP)
    x = 2.0 ** np.arange(1, 11)
    y = 2 * x**0.6 * (1 + 0.02 * np.random.default_rng(0).standard_normal(10))
    (folder / "in" / "curve.csv").write_text(
        "x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    )


SWEEP = """
[train]
length = 16
copies = 4
batch = 2
steps = 4
warmup = 1
save_every = 2
evaluate_every = 2
evaluate_sequences = 2
tensorboard = false
[[model]]
name = "mamba"
preset = "mamba-tiny"
layers = 1
width = 16
state = 2
[[model]]
name = "gpt2"
preset = "gpt2-tiny"
layers = 1
width = 64
"""


def some_texts(documents: int, *, words: int, seed: int = 0) -> list[str]:
    """Documents of made-up words; each keeps to a topic, so that information reaches across it."""
    import numpy as np

    random = np.random.default_rng(seed)
    vocabulary = ["".join(random.choice(list("abcdefgh"), size=random.integers(2, 6))) for _ in range(60)]
    weights = [random.dirichlet(np.full(60, 0.1)) for _ in range(documents)]
    return [" ".join(random.choice(vocabulary, size=words, p=weight)) for weight in weights]


def make_model(folder: Path, texts: Sequence[str]) -> None:
    """A random Llama of two layers with a byte-level BPE."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


class Book:
    """The references of all jobs, made as they are asked for, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Reference] = {}
        self.inputs = folder / "inputs"

    def prepare(self) -> None:
        import os
        import traceback

        if (process := os.fork()) == 0:
            code = 1
            try:
                make_inputs(self.inputs)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        if os.waitpid(process, 0)[1]:
            raise SystemExit("the inputs could not be made")
        with Sandbox(self.folder, self.inputs) as place:
            made = place.run(("fit", "in/curve.csv", "--out", "in/law.json"))
            check(made, "fit")
            shutil.copy(place.work / "in" / "law.json", self.inputs / "in" / "law.json")
            check(place.run(JOBS["tokenize"].argv), "tokenize")
            shutil.copytree(place.work / "corpus", self.folder / "shared" / "corpus")
        Sandbox.shared = self.folder / "shared"
        self._large()

    def _large(self) -> None:
        """Three million tokens by Zipf's law, for what a few kilobytes cannot show."""
        import numpy as np

        from l2m import Corpus

        weight = 1 / np.arange(1, 30_001)
        tokens = np.random.default_rng(0).choice(30_000, size=3_000_000, p=weight / weight.sum()).astype(np.uint16)
        Corpus(tokens, np.linspace(0, tokens.size, 65).astype(np.int64)).save(Sandbox.shared / "big")

    def start_of(self, job: Job) -> Path:
        return self[job.before].finished if job.before else self.inputs

    def __getitem__(self, name: str) -> Reference:
        if name not in self._made:
            self._made[name] = self._make(JOBS[name])
        return self._made[name]

    def _make(self, job: Job) -> Reference:
        start = self.start_of(job)
        kept = self.folder / "finished" / job.name
        ends, trees, readers = [], [], []
        for attempt in range(2):
            with Sandbox(self.folder, start) as place:
                ends.append(run_job(place, job))
                check(ends[-1], job.name)
                trees.append(job_tree(place, job))
                if attempt == 0:
                    shutil.copytree(place.work, kept, symlinks=True)
                read = [place.run(argv) for argv in job.readers]
                for argv, end in zip(job.readers, read, strict=True):
                    check(end, " ".join(argv))
                readers.append([parse_out(end.out, place.top) for end in read])
        other = None
        if job.other:
            with Sandbox(self.folder, start) as place:
                check(place.run(job.other), f"{job.name}, other")
                other = self.folder / "other" / job.name
                shutil.copytree(place.work, other, symlinks=True)
        return Reference(
            start, kept, other, trees[0], ends[0].seconds, ends[0].changes, frozenset(differences(trees[1], trees[0])),
            [(a, frozenset(differences({"out": b}, {"out": a}))) for a, b in zip(*readers, strict=True)],
        )  # fmt: skip


def run_job(place: Sandbox, job: Job, fault: sandbox.Fault | None = None) -> Ended:
    return place.start_fresh(job.argv, fault).wait() if job.fresh else place.run(job.argv, fault)


def job_tree(place: Sandbox, job: Job) -> sandbox.Tree:
    return read_tree(place.work / job.out, place.top, skip=("in/",))


def check(ended: Ended, what: str) -> None:
    """The undisturbed run must do."""
    if ended.code or ended.trouble():
        raise SystemExit(f"{what}, undisturbed: exit {ended.code}; {ended.trouble()}\n{ended.err[-2000:]}")


def judge(place: Sandbox, job: Job, ended: Ended, reference: Reference, *, may_leave: bool = False) -> tuple[str, str]:
    """What an undisturbed run over what a fault left has come to."""
    if trouble := ended.trouble():
        return trouble
    if ended.code:
        return judge_refusal(place, ended)
    wrong = [name for name in differences(job_tree(place, job), reference.tree) if name not in reference.volatile]
    if may_leave:  # on a disk that fails, what is not needed any more may stay until the next run
        wrong = [name for name in wrong if not name.endswith("(left over)")]
    if wrong:
        return "silent", f"exit 0, other than undisturbed: {', '.join(wrong[:4])}"
    return "equal", ""


def judge_refusal(place: Sandbox, ended: Ended) -> tuple[str, str]:
    """`named`: one line that holds the name of a file, folder or argument."""
    lines = [line for line in ended.err.splitlines() if line.startswith("l2m: ")]
    if not lines:
        return "unnamed", f"exit {ended.code}: {ended.err[-300:]!r}"
    said = lines[-1]
    # "argument: what it held; what is expected", where the argument may be a file that is no longer there.
    named = re.match(r"l2m: (?!unexpected|system).{1,300}?: .", said)
    return ("named" if named else "unnamed"), said


def judge_reader(ended: Ended, place: Sandbox, known: tuple[Any, frozenset[str]]) -> tuple[str, str]:
    if trouble := ended.trouble():
        return trouble
    if ended.code:
        return judge_refusal(place, ended)
    wrong = [
        name
        for name in differences({"out": parse_out(ended.out, place.top)}, {"out": known[0]})
        if name not in known[1]
    ]
    if not wrong:
        return "equal", ""
    # What a damaged store still holds may be read, if a line says what is missing.
    told = next((line for line in ended.err.splitlines() if re.match(r"l2m: .{1,300}?: .", line)), None)
    return ("named", told) if told else ("silent", f"exit 0, other than undisturbed: {', '.join(wrong[:4])}")
