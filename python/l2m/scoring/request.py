"""What scoring asks for, whether it can be done, and what of it a store still lacks."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.base.files import write_json
from l2m.corpora.corpus import Corpus
from l2m.counting.ngrams import ngrams
from l2m.errors import InputError
from l2m.scoring.model_source import ModelSource, resolve_model
from l2m.scoring.store import Store
from l2m.scoring.windows import CONTEXT_TOKENS, Windows

# Largest difference, in nats, that the self-test takes for rounding. A state that is lost costs whole nats; float32 over
# 30 layers leaves 2e-5; bfloat16 keeps 8 bits, so a logit near 20 is known to 0.1.
TOLERANCE = {"float64": 1e-6, "float32": 5e-4, "float16": 0.1, "bfloat16": 0.75}
# Fewer contexts than this say less about the start of Y than the start token does. First token of Y, 512 windows,
# SmolLM2-135M, nats: start token -8.98; K = 2 -10.09; K = 32 -7.76; K = 511 -7.15.
FEWEST_CONTEXTS = 64
# A file should hold enough work to be worth a file and little enough to be lost.
_LARGEST_UNIT = 32

Spans = tuple[tuple[int, int], ...]
"""(split, how many) pairs."""


class Wanted(NamedTuple):
    """What some windows lack: the conditional pass; per split the marginal's length; per shuffle, per split its length;
    per split the number of contexts."""

    conditional: bool
    marginal: Spans
    shuffled: tuple[tuple[int, Spans], ...]
    contexts: Spans

    def of_passes(self, length: int) -> dict[str, int]:
        """Tokens evaluated for one window in the passes of each kind."""
        first = (
            length if self.conditional else max((split for _, parts in self.shuffled for split, _ in parts), default=0)
        )
        return {
            "conditional": first,
            "marginal": sum(n for _, n in self.marginal),
            "shuffled": sum(n for _, parts in self.shuffled for _, n in parts),
            "contexts": 2 * sum(n for _, n in self.contexts),
        }

    def tokens(self, length: int) -> int:
        """Tokens evaluated for one window."""
        return sum(self.of_passes(length).values())

    def __bool__(self) -> bool:
        return self.conditional or bool(self.marginal) or bool(self.shuffled) or bool(self.contexts)


Work = list[tuple[NDArray[np.int64], Wanted]]
"""Windows, by index, and the passes that all of them lack."""


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments of `l2m.score`, which tells what each is."""

    corpus: Corpus | NDArray[Any]
    model: Any
    length: int = 2048
    splits: Sequence[int] | None = None
    ratios: Sequence[int] = (2, 3, 4)
    shuffles: int = 1
    contexts: int = 0
    windows: int | None = None
    device: str | None = None
    dtype: Any = None
    revision: str | None = None
    max_batch_tokens: int | None = None
    seed: int = 0
    start_token: str | int | None = None
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.shuffles < 0:
            raise InputError(f"shuffles: {self.shuffles}; expected 0 or more")
        if self.contexts and self.contexts < FEWEST_CONTEXTS:
            raise InputError(
                f"contexts: {self.contexts}; expected 0 for none, or {FEWEST_CONTEXTS} or more: fewer are too biased"
            )
        if self.max_batch_tokens is not None and self.max_batch_tokens < 1:
            raise InputError(f"max_batch_tokens: {self.max_batch_tokens}; expected 1 or more")
        own, parts = self.shard or (0, 1)
        if not 0 <= own < parts:
            raise InputError(f"shard: {own}/{parts}; expected i/n with 0 <= i < n")

    @property
    def wanted(self) -> Wanted:
        """Every pass of one window."""
        spans = split_spans(self.length, self.splits, self.ratios)
        contexts = tuple((split, self.contexts) for split, _ in spans if self.contexts)
        return Wanted(True, spans, tuple((shuffle, spans) for shuffle in range(self.shuffles)), contexts)

    @property
    def share(self) -> tuple[int, int]:
        """(i, n): this process does the i-th of n parts: of the shard, and within it of the ranks of a launcher."""
        own, parts = self.shard or (0, 1)
        rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        return own * ranks + rank, parts * ranks

    def find(self) -> tuple[Any, Windows]:
        """The model's source (None for one in memory) and the windows, checked against each other."""
        source = None
        if isinstance(self.model, (str, os.PathLike, ModelSource)):
            source = resolve_model(self.model, revision=self.revision)
            check_context(source.name, source.context, self.length)
            if isinstance(self.corpus, Corpus):
                check_tokenizer(self.corpus, source)
        decoder = _decoder(self.corpus, source)
        windows = Windows(self.corpus, self.length, count=self.windows, seed=self.seed, decoder=decoder)
        if self.shuffles:
            windows.partners([0], 0)
        if self.contexts:
            windows.contexts(1)
        return source, windows

    def scorer(self, source: Any) -> Any:
        """What gives the log-probabilities, checked against the corpus."""
        if hasattr(self.model, "log_prob"):
            scorer = self.model
        else:
            from l2m.scoring.language_model import LanguageModel

            device = self.device or _device_of_rank()
            if source is not None:
                scorer = LanguageModel.load(source, device=device, dtype=self.dtype, start_token=self.start_token)
            elif hasattr(self.model, "forward") and hasattr(self.model, "config"):
                scorer = LanguageModel.of_instance(self.model, start_token=self.start_token)
            else:
                raise InputError(
                    f"model: a {type(self.model).__name__}; expected a name, a folder, a causal model of transformers, "
                    "or a scorer with log_prob"
                )
        check_context(str(settings_of(scorer).get("name")), getattr(scorer, "context", None), self.length)
        vocabulary, ids = getattr(scorer, "vocab_size", None), _ids(self.corpus)
        if vocabulary is not None and ids is not None and ids.size and int(ids.max()) >= vocabulary:
            raise InputError(f"corpus: token id {int(ids.max())}; the model knows ids below {vocabulary}")
        return scorer


def prepare(request: Request, out: str | os.PathLike[str], say: Callable[[str], None]) -> Any:
    """Check all that can be checked before the model runs, open or make the store, and find what it lacks: a `Job`."""
    from l2m.scoring.run import Job

    wanted = request.wanted
    source, windows = request.find()
    scorer = request.scorer(source)
    budget = request.max_batch_tokens or int(getattr(scorer, "token_budget", lambda: 1 << 16)())
    store = Store(out)
    settings = {
        "corpus": {
            "hash": windows.hash,
            "documents": len(request.corpus),
            "tokenizer": request.corpus.tokenizer if isinstance(request.corpus, Corpus) else {"name": "rows"},
        },
        "model": dict(settings_of(scorer)),
        "length": request.length,
        "seed": request.seed,
        "sentence_starts": windows.at_sentences,
        "unit": max(1, min(_LARGEST_UNIT, budget // request.length, -(-len(windows) // request.share[1]))),
    }
    if store.exists:
        settings["unit"] = store.open().settings["unit"]
    store.create(settings)
    _keep_statistics(store, request.corpus)
    work = missing(store, len(windows), wanted, request.share, say)
    return Job(scorer, windows, store, wanted, work, budget)


def dry_run(request: Request, out: str | os.PathLike[str]) -> dict[str, Any]:
    """What `l2m.score` would do, in tokens, memory and time, without loading the model or writing anything.

    Returns:
        passes (evaluated tokens of each kind), tokens, tokens_per_window, windows, documents, parameters, memory_bytes, and
        seconds, estimated from 2 * parameters operations per token and the speed of a matrix product here; the last
        three are None for a scorer of the user's own.
    """
    wanted = request.wanted
    source, windows = request.find()
    store = Store(out)
    whole = [(np.arange(len(windows)), wanted)]
    work = missing(store.open(), len(windows), wanted, request.share, None) if store.exists else whole
    if not store.exists and request.share[1] > 1:
        own, parts = request.share
        work = [(np.arange(len(windows))[own::parts], wanted)]
    passes = {"conditional": 0, "marginal": 0, "shuffled": 0, "contexts": 0}
    for indices, lacking in work:
        for name, tokens in lacking.of_passes(request.length).items():
            passes[name] += len(indices) * tokens
    tokens = sum(passes.values())
    if request.contexts and passes["contexts"]:
        tokens += len(windows.contexts(request.contexts)[0]) * CONTEXT_TOKENS
    result: dict[str, Any] = {
        "windows": len(windows),
        "documents": int(np.unique(windows.document).size),
        "length": request.length,
        "splits": [split for split, _ in wanted.marginal],
        "passes": passes,
        "tokens": tokens,
        "tokens_per_window": wanted.tokens(request.length),
        "parameters": None,
        "memory_bytes": None,
        "seconds": None,
    }
    if not hasattr(request.model, "log_prob"):
        from l2m.scoring.language_model import estimate

        model = request.model if source is None else source
        result |= estimate(model, tokens, request.device, request.dtype, request.max_batch_tokens)
    return result


def missing(
    store: Store, windows: int, wanted: Wanted, share: tuple[int, int], say: Callable[[str], None] | None
) -> Work:
    """Work of this process: windows that lack the same passes, unit by unit.

    A damaged file is told of and removed, so that its part is missing too; with `say` None it is only passed over.
    """
    damaged: list[Any] = []
    held = _held(store, damaged)
    if say is not None:
        for path in damaged:
            say(f"{path}: damaged or cut short; this part is scored again")
            path.unlink(missing_ok=True)
    unit, (own, parts) = int(store.settings["unit"]), share
    work = []
    for number, first in enumerate(range(0, windows, unit)):
        if number % parts != own:
            continue
        groups: dict[Wanted, list[int]] = {}
        for index in range(first, min(first + unit, windows)):
            groups.setdefault(_lacking(wanted, held.get(index, {})), []).append(index)
        work += [(np.array(indices, np.int64), lacking) for lacking, indices in groups.items() if lacking]
    return work


def split_spans(length: int, splits: Sequence[int] | None, ratios: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(l, length of the longest Y that follows it) for each split.

    Raises:
        InputError: a ratio below 2, no split, or one that does not fit into the window with the smallest ratio.
    """
    if length < 4:
        raise InputError(f"length: {length}; expected 4 tokens or more")
    if not ratios or any(int(ratio) != ratio or ratio < 2 for ratio in ratios):
        raise InputError(f"ratios: {list(ratios)}; expected whole numbers from 2")
    if splits is None:
        splits = [1 << k for k in range(1, length.bit_length()) if (1 << k) * min(ratios) <= length]
    if not splits:
        raise InputError(f"splits: none fits a window of {length} tokens at ratio {min(ratios)}")
    for split in splits:
        if int(split) != split or split < 1 or split * min(ratios) > length:
            raise InputError(
                f"splits: {split}; expected whole numbers from 1 to {length // min(ratios)}, so that {min(ratios)} times "
                f"the split fits into the window of {length} tokens"
            )
    longest = {int(split): max(int(r) for r in ratios if r * split <= length) for split in splits}
    return tuple((split, (longest[split] - 1) * split) for split in sorted(longest))


def _held(store: Store, damaged: list[Any]) -> dict[int, dict[Any, int]]:
    """For each window, (kind, shuffle, split) -> how many positions the store holds."""
    held: dict[int, dict[Any, int]] = {}
    for piece in store.pieces(damaged):
        for window in piece.info["windows"]:
            entry = held.setdefault(window, {})
            for split, values in piece.values.items():
                key = (piece.kind, piece.info.get("shuffle"), split)
                entry[key] = max(entry.get(key, 0), values.shape[1])
    return held


def _lacking(wanted: Wanted, held: Mapping[Any, int]) -> Wanted:
    def missing(kind: str, shuffle: int | None, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        return tuple((split, n) for split, n in spans if held.get((kind, shuffle, str(split)), 0) < n)

    shuffled = ((shuffle, missing("shuffled", shuffle, spans)) for shuffle, spans in wanted.shuffled)
    return Wanted(
        wanted.conditional and ("conditional", None, "") not in held,
        missing("marginal", None, wanted.marginal),
        tuple((shuffle, spans) for shuffle, spans in shuffled if spans),
        missing("contexts", None, wanted.contexts),
    )


def settings_of(scorer: Any) -> Mapping[str, Any]:
    return getattr(scorer, "settings", None) or {"name": f"{type(scorer).__module__}.{type(scorer).__qualname__}"}


def check_context(name: str, context: int | None, length: int) -> None:
    if context is not None and context < length:
        raise InputError(f"length: {length}; the context of {name} is {context} tokens")


def check_tokenizer(corpus: Corpus, source: Any) -> None:
    made = corpus.tokenizer.get("hash")
    if corpus.tokenizer["name"] != "ids" and made != source.tokenizer_hash:
        raise InputError(
            f"corpus: tokenized with {corpus.tokenizer['name']!r} (hash {str(made)[:12]}); {source.name} has a tokenizer of "
            f"hash {source.tokenizer_hash[:12]}: tokenize with {str(source.tokenizer_folder)!r}"
        )


class _Bytes:
    """Decodes a corpus of bytes."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return bytes(i & 255 for i in ids).decode("utf-8", "replace")


def _decoder(corpus: Any, source: Any) -> Any:
    if isinstance(corpus, Corpus) and corpus.tokenizer["name"] == "bytes":
        return _Bytes()
    if source is None:
        return None
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(source.tokenizer_folder / "tokenizer.json"))


def _keep_statistics(store: Store, corpus: Corpus | NDArray[Any]) -> None:
    """Entropies of the corpus's n-grams, which the estimators' n-gram correction wants; once per store."""
    path = store.folder / "statistics.json"
    if _ids(corpus) is not None and not path.exists():
        whole = corpus if isinstance(corpus, Corpus) else Corpus(list(corpus))
        counts = ngrams(whole, 3)
        write_json(path, {"ngram_entropy": {str(n): counts.entropy(n).value for n in (1, 2, 3)}})


def _ids(corpus: Corpus | NDArray[Any]) -> NDArray[Any] | None:
    """All token ids; None for real numbers."""
    values = corpus.tokens if isinstance(corpus, Corpus) else np.asarray(corpus)
    return values if values.dtype.kind in "iu" else None


def _device_of_rank() -> str | None:
    """Each rank of a launcher takes its own GPU; None outside one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return None
    import torch

    rank = int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", 0)))
    return f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
