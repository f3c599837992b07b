"""Inputs that someone made to harm: with true checksums, with code and paths that must do nothing."""

import bz2
import contextlib
import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults import DoesNotApply
from jobs import _SCORE, _TRAIN, MODEL, Book, judge_refusal
from sandbox import Ended, Sandbox

from mutations import draw_edits, edit, mutate_json
from samples import gguf, megatron, npy, samples

Hostile = Callable[[Book, Path, random.Random], tuple[str, str]]
HOSTILE: dict[str, Hostile] = {}
STARTS: dict[str, str | None] = {}
"""The job whose finished folder an attack changes."""
ANY, REFUSED = "any", "refused"
"""What may come of it: a result too, where the input can be read as something true; or a refusal alone."""
Attack = tuple[tuple[str, ...], str, str]
"""A command, what may come of it, and what the input was."""


def hostile(name: str, start: str | None = None) -> Callable[[Callable[[Path, random.Random], Attack]], Hostile]:
    """Register an attack: it changes the folder of an undisturbed run of `start` (or the inputs) and names a command."""

    def register(attack: Callable[[Path, random.Random], Attack]) -> Hostile:
        def case(book: Book, root: Path, draw: random.Random) -> tuple[str, str]:
            with Sandbox(root, book[start].finished if start else book.inputs) as place:
                argv, may, note = attack(place.work, draw)
                ended = place.run(argv, stdin=b"y\n" * 1000)
                outcome, detail = _judged(place, ended, may)
                return outcome, f"{note}: {detail}"

        HOSTILE[name], STARTS[name] = case, start
        return case

    return register


def _judged(place: Sandbox, ended: Ended, may: str) -> tuple[str, str]:
    if trouble := ended.trouble():
        return trouble
    if ended.code == 0:
        return ("silent", f"taken; {ended.out[-200:]!r}") if may == REFUSED else ("equal", "taken")
    if ended.code != 2:
        return "unnamed", f"exit {ended.code}: {ended.err[-300:]!r}"
    return judge_refusal(place, ended)


CODE = "import os; open(os.environ['CANARY'], 'w').close()"


class Planted:
    """Unpickled, it leaves the canary."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE,)


def seal_corpus(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest with true checksums of the files it names, so that only its content is false."""
    from blake3 import blake3

    files = manifest.get("files")
    if isinstance(files, dict):
        for name in files:
            path = folder / str(name)
            if path.is_file():
                files[name] = blake3(path.read_bytes()).hexdigest()
    _write(folder / "corpus.json", manifest)


def _write(path: Path, value: Any) -> None:
    path.write_bytes(json.dumps(value).encode("utf-8", "surrogatepass"))


_READ_CORPUS = (
    ("corpus", "info", "corpus", "--json"), ("two-point", "corpus", "--threads", "1", "--groups", "8", "--json"), ("ngrams", "corpus", "--threads", "1"),
    ("score", "corpus", *_SCORE, "--out", "s"), ("train", *_TRAIN[1:], "--corpus", "corpus", "--out", "r"), ("@load", "corpus"),
)  # fmt: skip


@hostile("corpus-manifest", "tokenize")
def corpus_manifest(work: Path, draw: random.Random) -> Attack:
    manifest = json.loads((work / "corpus" / "corpus.json").read_text())
    changed = mutate_json(manifest, draw, draw.randint(1, 2))
    if isinstance(changed, dict):
        seal_corpus(work / "corpus", changed)
    else:
        _write(work / "corpus" / "corpus.json", changed)
    return draw.choice(_READ_CORPUS), ANY, f"corpus.json {_difference(manifest, changed)}"


@hostile("corpus-arrays", "tokenize")
def corpus_arrays(work: Path, draw: random.Random) -> Attack:
    import numpy as np

    folder = work / "corpus"
    manifest = json.loads((folder / "corpus.json").read_text())
    tokens, offsets = np.load(folder / "tokens.npy"), np.load(folder / "offsets.npy")
    name = draw.choice(("tokens.npy", "offsets.npy"))
    array = tokens if name == "tokens.npy" else offsets
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '%s', 'fortran_order': False, 'shape': (%s), }".ljust(127) + b"\n"
    how, content = draw.choice(
        [
            ("pickled", npy(np.array([Planted()], dtype=object))),
            ("a shape of 2^50", (header % (b"<u2", b"1125899906842624,")) + b"\0" * 64),
            ("negative shape", (header % (b"<u2", b"-5,")) + b"\0" * 64),
            ("floats", npy(array.astype(float))),
            ("two dimensions", npy(np.stack([array, array]))),
            ("reversed", npy(array[::-1])),
            ("shorter by one", npy(array[:-1])),
            ("empty", npy(array[:0])),
            ("ids beyond the vocabulary", npy(array + np.array(60_000, array.dtype))),
            ("strings", npy(array.astype("S8"))),
            ("records", npy(np.zeros(4, [("a", "<i4"), ("b", "O")] if False else [("a", "<i4"), ("b", "<f8")]))),
            ("nothing", b""),
            ("big-endian", npy(array.astype(array.dtype.newbyteorder(">")))),
        ]
    )
    (folder / name).write_bytes(content)
    seal_corpus(folder, manifest)
    return (
        draw.choice(_READ_CORPUS),
        ANY if how == "big-endian" else REFUSED if name == "offsets.npy" or how != "reversed" else ANY,
        f"{name}: {how}",
    )


@hostile("remote-corpus", "tokenize")
def remote_corpus(work: Path, draw: random.Random) -> Attack:
    """A corpus behind a URL names files outside of its folder."""
    manifest = json.loads((work / "corpus" / "corpus.json").read_text())
    name = draw.choice(
        (
            "../../../../../pwned",
            "/tmp/campaign-pwned",
            "../../pwned/.bashrc",
            str(work.parent.parent / "pwned"),
            "..",
            "",
            "a/../../pwned",
        )
    )
    place = work / "corpus" / name
    if not name.startswith("/tmp"):  # there to be fetched, within the sandbox
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"pwned")
    manifest["files"][name] = "0" * 64
    seal_corpus(work / "corpus", manifest)
    return (
        ("two-point", f"file://{work / 'corpus'}", "--threads", "1", "--groups", "8"),
        REFUSED,
        f"a file named {name!r}",
    )


def _difference(a: Any, b: Any, path: str = "") -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *b]:
            if key not in a or key not in b or repr(a[key]) != repr(b[key]):
                return _difference(a.get(key, "absent"), b.get(key, "absent"), f"{path}.{key}")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            if repr(x) != repr(y):
                return _difference(x, y, f"{path}[{index}]")
    return f"{path[1:]} = {repr(b)[:80]} for {repr(a)[:40]}"


_TRAIN_MODEL = (
    *(
        "train",
        "--preset",
        MODEL,
        "--out",
        "r",
        "--length",
        "16",
        "--batch",
        "2",
        "--steps",
        "2",
        "--copies",
        "4",
        "--warmup",
        "1",
    ),
    *("--evaluate-sequences", "2", "--no-tensorboard", "--threads", "1", "--device", "cpu"),
)
_MODEL_COMMANDS = (
    ("score", "in/texts", *_SCORE, "--out", "s"),
    ("state", MODEL),
    ("condition", "in/law.json", MODEL),
    ("tokenize", "in/texts", "--tokenizer", MODEL, "--out", "c"),
    _TRAIN_MODEL,
)


@hostile("model-config")
def model_config(work: Path, draw: random.Random) -> Attack:
    path = (
        work
        / MODEL
        / draw.choice(
            ("config.json", "config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json")
        )
    )
    if not path.exists():
        raise DoesNotApply
    before = json.loads(path.read_text())
    after = mutate_json(before, draw, draw.randint(1, 2))
    _write(path, after)
    return draw.choice(_MODEL_COMMANDS), ANY, f"{path.name} {_difference(before, after)}"


@hostile("model-code")
def model_code(work: Path, draw: random.Random) -> Attack:
    """Python beside the weights, which the config asks to run; someone answers y to every question."""
    folder = work / MODEL
    (folder / "evil.py").write_text(
        f"{CODE}\nfrom transformers import LlamaForCausalLM as M, LlamaConfig as C, PreTrainedTokenizerFast as T\n"
    )
    which = draw.choice(("config.json", "config.json", "tokenizer_config.json"))
    value = json.loads((folder / which).read_text())
    if which == "config.json" and draw.random() < 0.3:
        kernel = draw.choice(("evil/kernel", "evil/kernel@main:f", {"": "evil/kernel"}))
        value = draw.choice(
            (
                {**value, "attn_implementation": kernel},
                {**value, "text_config": {**value, "_attn_implementation": kernel}},
            )
        )
    elif which == "config.json":
        value["auto_map"] = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
        if draw.random() < 0.7:
            value["model_type"] = "evil"
    else:
        value["auto_map"] = {"AutoTokenizer": ["evil.T", "evil.T"]}
        value["tokenizer_class"] = draw.choice(("T", "EvilTokenizer", "PreTrainedTokenizerFast"))
    _write(folder / which, value)
    if draw.random() < 0.3:
        (work / MODEL / "tokenizer.json").unlink()
    argv = draw.choice(
        (
            *_MODEL_COMMANDS,
            ("measure", "in/texts", *_SCORE, "--out", "m"),
        )
    )
    return argv, ANY, f"code named in {which}"


@hostile("model-weights")
def model_weights(work: Path, draw: random.Random) -> Attack:
    import torch
    from safetensors.torch import load_file, save_file

    folder = work / MODEL
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    how = draw.choice(
        (
            "pickle",
            "outside",
            "prefixed",
            "missing",
            "head",
            "shape",
            "adapter",
            "pointer",
            "cut",
            "header",
            "nan",
            "extra",
            "edited",
        )
    )
    may = REFUSED
    if how == "pickle":
        weights.unlink()
        torch.save({"a": Planted()}, folder / "pytorch_model.bin")
        if draw.random() < 0.5:
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted()))
    elif how == "outside":
        (work / "elsewhere").mkdir()
        shutil.move(weights, work / "elsewhere" / "model.safetensors")
        index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "../../elsewhere/model.safetensors")}
        _write(folder / "model.safetensors.index.json", index)
    elif how in ("prefixed", "missing", "head", "shape", "adapter", "nan", "extra"):
        names = sorted(tensors)
        if how == "prefixed":
            tensors = {f"{draw.choice(('_orig_mod.', 'module.'))}{name}": value for name, value in tensors.items()}
        elif how == "missing":
            del tensors[draw.choice([name for name in names if "lm_head" not in name])]
        elif how == "head":
            del tensors["lm_head.weight"]
        elif how == "shape":
            name = draw.choice(names)
            tensors[name] = tensors[name][..., :-1].contiguous()
        elif how == "adapter":
            tensors = {"base_model.model.q_proj.lora_A.weight": torch.zeros(4, 16)}
        elif how == "nan":
            tensors[draw.choice(names)][:] = float("nan")
        else:
            tensors["unexpected.weight"] = torch.zeros(3)
        save_file(tensors, weights, metadata={"format": "pt"})
    elif how == "pointer":
        weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[: draw.randrange(1, weights.stat().st_size)])
    elif how == "header":
        weights.write_bytes(struct.pack("<Q", draw.choice((2**63, 2**40, 0, 5))) + weights.read_bytes()[8:])
    else:
        data = weights.read_bytes()
        size = 8 + struct.unpack("<Q", data[:8])[0]
        weights.write_bytes(edit(data[:size], draw_edits(draw)) + data[size:])
        may = ANY
    return ("score", "in/texts", *_SCORE, "--out", "s"), may, how


_RECORDS = {
    "two-point": ["tp/two_point.json"], "ngrams": ["ng/ngrams.json"], "bipartite": ["curves/direct-2-none.json"], "evaluate": ["ev/run-record.json"],
    "measure": ["m/results.json"], "fit": ["fit.json"], "entropy": ["entropy.json"],
}  # fmt: skip


def _record(kind: str, path: str) -> Callable[[Path, random.Random], Attack]:
    def attack(work: Path, draw: random.Random) -> Attack:
        before = json.loads((work / path).read_text())
        after = reseal(mutate_json(before, draw, draw.randint(1, 3)))
        _write(work / path, after)
        argv = (
            ("condition", path, MODEL)
            if kind in ("two-point", "bipartite", "measure", "fit") and draw.random() < 0.4
            else ("@load", path)
        )
        return argv, ANY, f"{path} {_difference(before, after)}"

    return attack


for _kind, _paths in _RECORDS.items():
    for _path in _paths:
        hostile(f"record-{_kind}", _kind)(_record(_kind, _path))


def reseal(value: Any) -> Any:
    """A checksum of itself, where the file has one, made true again."""
    from l2m.base.files import json_hash

    if not isinstance(value, dict) or "checksum" not in value:
        return value
    inner = {key: item for key, item in value.items() if key != "checksum"}
    try:
        return {**inner, "checksum": json_hash(inner)}
    except ValueError:  # NaN or a lone surrogate: no checksum would be true
        return value


def _manifest(path: str, commands: tuple[tuple[str, ...], ...]) -> Callable[[Path, random.Random], Attack]:
    def attack(work: Path, draw: random.Random) -> Attack:
        found = sorted(work.glob(path))
        if not found:
            raise DoesNotApply
        chosen = draw.choice(found)
        lines = chosen.read_text().splitlines() if chosen.suffix == ".jsonl" else [chosen.read_text()]
        number = draw.randrange(len(lines))
        before = json.loads(lines[number])
        after = reseal(mutate_json(before, draw, draw.randint(1, 2)))
        lines[number] = json.dumps(after)
        chosen.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        return draw.choice(commands), ANY, f"{chosen.relative_to(work)} {_difference(before, after)}"

    return attack


_EVALUATE = ("evaluate", "run", "--sequences", "2", "--threads", "1", "--device", "cpu")
hostile("manifest-job", "count-shard1")(_manifest("s?/job.json", (("merge", "s0", "s1", "--out", "w"),)))
hostile("manifest-scores", "score")(
    _manifest(
        "scores/*.json",
        (
            ("bipartite", "scores"),
            ("nll", "scores"),
            ("@load", "scores"),
            ("score", "in/texts", *_SCORE, "--out", "scores", "--ratios", "2"),
        ),
    )
)
hostile("manifest-train", "train")(_manifest("run/**/*.json", (_EVALUATE, (*_TRAIN, "--out", "run"))))
hostile("manifest-metrics", "train")(
    _manifest(
        "run/metrics.jsonl",
        ((*_TRAIN, "--out", "run", "--json"), (*(("8" if word == "6" else word) for word in _TRAIN), "--out", "run")),
    )
)
hostile("manifest-parts", "shard2")(
    _manifest(
        "parted/parts/**/*.json*",
        (("merge", "parted"), ("tokenize", "in/texts", "--out", "parted", "--tokenizer", "words", "--shard", "1/3")),
    )
)
hostile("manifest-measure", "measure")(
    _manifest("m/**/*.json", (("measure", "in/texts", *_SCORE, "--out", "m", "--json"), ("condition", "m", MODEL)))
)
hostile("documents", "tokenize")(
    _manifest("corpus/documents.jsonl", (("@load", "corpus"), ("score", "corpus", *_SCORE, "--out", "s")))
)


@hostile("sweep-file")
def sweep_file(work: Path, draw: random.Random) -> Attack:
    path = work / "in" / "sweep.toml"
    text = path.read_text()
    how = draw.choice(("name", "preset", "value", "bytes"))
    argv = ("sweep", "in/sweep.toml", "--out", "sw", "--threads", "1", "--device", "cpu", "--sequences", "2")
    if how == "name":
        name = draw.choice(
            (
                "../../../escape",
                str(work.parent.parent / "escape"),
                "..",
                ".",
                "a/b",
                "",
                "a\\u0000b",
                "a" * 300,
                "-x",
                "~/x",
            )
        )
        path.write_text(text.replace('name = "mamba"', f'name = "{name}"'))
        return argv, ANY if name in ("-x", "~/x") else REFUSED, f"name {name[:40]!r}"
    if how == "preset":
        path.write_text(
            text.replace(
                'name = "mamba"\npreset = "mamba-tiny"\nlayers = 1\nwidth = 16\nstate = 2', f'preset = "{work}/{MODEL}"'
            )
        )
        return argv, ANY, "a preset given by its path, without a name"
    if how == "value":
        line = draw.choice([line for line in text.splitlines() if "=" in line])
        new = draw.choice(
            (
                "-1",
                "0",
                "2.5",
                "true",
                '"x"',
                "[]",
                "[1, 2, 3]",
                "{a = 1}",
                "9223372036854775807",
                "1e400",
                "nan",
                "1979-05-27",
                "[[1]]",
                "10000000000",
            )
        )
        path.write_text(text.replace(line, f"{line.split('=')[0]}= {new}", 1))
        return argv, ANY, f"{line.split('=')[0]}= {new}"
    path.write_bytes(edit(text.encode(), draw_edits(draw)))
    return argv, ANY, "bytes"


@hostile("shards-of-pickle")
def shards_of_pickle(work: Path, draw: random.Random) -> Attack:
    """Dataset folders whose index says that values are pickled."""
    folder = work / "shards"
    folder.mkdir()
    body = pickle.dumps(Planted())
    if draw.random() < 0.5:
        config = {"data_format": draw.choice((["pickle"], ["string", "pickle"], ["tensor"], "pickle")), "data_spec": '[1, {"type": null}]', "compression": None, "chunk_size": 1,
                  "chunk_bytes": 64, "encryption": None, "item_loader": "PyTreeLoader", "is_deterministic": True}  # fmt: skip
        _write(
            folder / "index.json",
            {
                "chunks": [{"chunk_bytes": len(body) + 16, "chunk_size": 1, "dim": None, "filename": "chunk-0-0.bin"}],
                "config": config,
            },
        )
        (folder / "chunk-0-0.bin").write_bytes(
            struct.pack("<3I", 1, 12, 16 + len(body)) + struct.pack("<I", len(body)) + body
        )
        note = f"litdata {config['data_format']}"
    else:
        encodings = draw.choice((["pkl"], ["str", "pkl"], ["ndarray"], ["json"]))
        shard = {"column_encodings": encodings, "column_names": ["text", "x"][: len(encodings)], "column_sizes": [None] * len(encodings), "compression": None, "format": "mds",
                 "hashes": [], "raw_data": {"basename": "shard.00000.mds", "bytes": len(body) + 16, "hashes": {}}, "samples": 1, "size_limit": 67108864, "version": 2, "zip_data": None}  # fmt: skip
        _write(folder / "index.json", {"shards": [shard], "version": 2})
        (folder / "shard.00000.mds").write_bytes(
            struct.pack("<3I", 1, 12, 16 + len(body)) + struct.pack("<I", len(body)) + body
        )
        note = f"MosaicML {encodings}"
    return ("tokenize", "shards", "--out", "c"), REFUSED, note


@hostile("folder-of-oddities")
def folder_of_oddities(work: Path, draw: random.Random) -> Attack:
    folder = work / "odd"
    folder.mkdir()
    (folder / "good.txt").write_text("some words that are fine")
    how = draw.choice(
        (
            "fifo",
            "zero",
            "loop",
            "bomb",
            "gzip-bomb",
            "not-utf8-name",
            "bytes",
            "device-argument",
            "npy-pickle",
            "outside-link",
            "no-access",
        )
    )
    may = ANY
    argv = ["tokenize", "odd", "--out", "c", "--json"]
    if how == "fifo":
        os.mkfifo(folder / "pipe.txt")
    elif how == "zero":
        os.symlink("/dev/zero", folder / "zero.txt")
    elif how == "loop":
        os.symlink(".", folder / "self")
        os.symlink("loop2", folder / "loop1")
        os.symlink("loop1", folder / "loop2")
    elif how == "bomb":
        (folder / "b.txt.bz2").write_bytes(bz2.compress(bytes(1 << 20)) * 900)
        may = REFUSED
    elif how == "gzip-bomb":
        import zlib

        packer = zlib.compressobj(9, wbits=31)
        with open(folder / "b.jsonl.gz", "wb") as file:
            file.write(
                b"".join(
                    [
                        packer.compress(b'{"text": "'),
                        *(packer.compress(b"a" * (1 << 20)) for _ in range(1200)),
                        packer.flush(),
                    ]
                )
            )
        may = REFUSED
    elif how == "not-utf8-name":
        (Path(os.fsdecode(bytes(os.fspath(folder), "utf-8") + b"/\xff\xfe.txt"))).write_text("words")
    elif how == "bytes":
        (folder / "b.txt").write_bytes(draw.randbytes(5000))
    elif how == "device-argument":
        argv = ["tokenize", "/dev/zero", "--out", "c"]
        may = REFUSED
    elif how == "npy-pickle":
        (folder / "x.npy").write_bytes(npy(__import__("numpy").array([Planted()], dtype=object)))
        may = REFUSED
    elif how == "outside-link":
        os.symlink("/proc/self/environ", folder / "environ.txt")
    else:
        (folder / "dir.txt").mkdir()
    return tuple(argv), may, how


@hostile("planted-cache")
def planted_cache(work: Path, draw: random.Random) -> Attack:
    """--out holds something else."""
    name, argv = draw.choice(
        (
            ("tokenize", ("tokenize", "in/texts", "--out", "out")), ("score", ("score", "in/texts", *_SCORE, "--out", "out")), ("train", (*_TRAIN, "--out", "out")),
            ("measure", ("measure", "in/texts", *_SCORE, "--out", "out")), ("two-point", ("two-point", "in/texts", "--out", "out", "--groups", "4")), ("bipartite", ("bipartite", "in", "--out", "out")),
        )
    )  # fmt: skip
    how = draw.choice(("file", "link", "file-inside", "dangling"))
    if how == "file":
        (work / "out").write_text("mine")
    elif how == "dangling":
        os.symlink(work / "nowhere", work / "out")
    else:
        (work / "out").mkdir()
        for inner in (
            "corpus",
            "parts",
            "tasks",
            "passes",
            "scores",
            "checkpoints",
            "corpus.json",
            "config.json",
            "job.json",
            "metrics.jsonl",
        ):
            if how == "file-inside":
                (work / "out" / inner).write_text("mine")
            elif draw.random() < 0.5:
                os.symlink("/proc/self", work / "out" / inner)
    return argv, ANY, f"{name} into {how}"


def _fuzz(names: Callable[[str], bool]) -> Callable[[Path, random.Random], Attack]:
    def attack(work: Path, draw: random.Random) -> Attack:
        name, data = draw.choice([sample for sample in samples() if names(sample[0])])
        (work / "f").mkdir()
        (work / "f" / name).write_bytes(edit(data, draw_edits(draw)))
        options = ["--on-error", "skip"] if draw.random() < 0.3 else []
        return ("tokenize", f"f/{name}", "--out", "c", "--duplicates", "keep", *options), ANY, f"{name} edited"

    return attack


hostile("fuzz-arrow")(_fuzz(lambda name: name.endswith("arrow")))
hostile("fuzz-parquet")(_fuzz(lambda name: name.endswith("parquet")))
hostile("fuzz-text")(_fuzz(lambda name: name.startswith("a.") and name.split(".")[1] in ("txt", "jsonl")))
hostile("fuzz-ids")(_fuzz(lambda name: name.endswith(("npy", "bin"))))


@hostile("fuzz-megatron")
def fuzz_megatron(work: Path, draw: random.Random) -> Attack:
    index, data = megatron()
    (work / "m.idx").write_bytes(edit(index, draw_edits(draw)))
    (work / "m.bin").write_bytes(data if draw.random() < 0.7 else edit(data, draw_edits(draw)))
    return ("tokenize", "m.bin", "--out", "c", "--duplicates", "keep"), ANY, "m.idx edited"


@hostile("fuzz-table")
def fuzz_table(work: Path, draw: random.Random) -> Attack:
    path = work / "in" / "curve.csv"
    path.write_bytes(edit(path.read_bytes(), draw_edits(draw)))
    return (
        draw.choice(
            (
                ("fit", "in/curve.csv", "--json"),
                ("entropy", "in/curve.csv"),
                ("fit", "in/curve.csv", "--method", "robust", "--offset", "free"),
            )
        ),
        ANY,
        "curve.csv edited",
    )


@hostile("fuzz-gguf")
def fuzz_gguf(work: Path, draw: random.Random) -> Attack:
    (work / "x.gguf").write_bytes(edit(gguf(), draw_edits(draw)))
    argv = draw.choice(
        (
            ("state", "x.gguf"),
            ("condition", "in/law.json", "x.gguf"),
            ("score", "in/texts", *("x.gguf" if word == MODEL else word for word in _SCORE), "--out", "s"),
        )
    )
    return argv, ANY, "x.gguf edited"
