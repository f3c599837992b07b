"""`l2m.score`: which passes are missing from the store, run in units of a few windows, each written when it is done."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.corpus import Corpus
from l2m.errors import InputError
from l2m.files import write_json
from l2m.progress import Progress
from l2m.scoring.store import Piece, Store
from l2m.scoring.windows import Windows

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

    def tokens(self, length: int) -> int:
        """Tokens evaluated for one window."""
        first = (
            length if self.conditional else max((split for _, parts in self.shuffled for split, _ in parts), default=0)
        )
        shuffled = sum(n for _, parts in self.shuffled for _, n in parts)
        return first + sum(n for _, n in self.marginal) + shuffled + 2 * sum(n for _, n in self.contexts)

    def __bool__(self) -> bool:
        return self.conditional or bool(self.marginal) or bool(self.shuffled) or bool(self.contexts)


class Job:
    """Scoring that is ready to run: a scorer, windows, a store and what the store lacks."""

    def __init__(
        self, scorer: Any, windows: Windows, store: Store, wanted: Wanted, *, budget: int, shard: tuple[int, int]
    ):
        self.scorer, self.windows, self.store, self.wanted = scorer, windows, store, wanted
        self.budget, self.shard = budget, shard
        self._recompute = False

    def missing(self, say: Callable[[str], None]) -> list[tuple[NDArray[np.int64], Wanted]]:
        """Work this shard has to do: windows that lack the same passes, unit by unit."""
        damaged: list[Any] = []
        held = _held(self.store, damaged)
        for path in damaged:
            say(f"{path}: damaged or cut short; this part is scored again")
            path.unlink()
        unit, (own, parts) = int(self.store.settings["unit"]), self.shard
        work = []
        for number, first in enumerate(range(0, len(self.windows), unit)):
            if number % parts != own:
                continue
            groups: dict[Wanted, list[int]] = {}
            for index in range(first, min(first + unit, len(self.windows))):
                groups.setdefault(_lacking(self.wanted, held.get(index, {})), []).append(index)
            work += [(np.array(indices, np.int64), lacking) for lacking, indices in groups.items() if lacking]
        return work

    def run(self, progress: Progress | None, say: Callable[[str], None]) -> None:
        """Self-test, then every unit that is missing."""
        work = self.missing(say)
        if not work:
            return
        self.self_test(say)
        length = self.windows.length
        total = sum(len(indices) * lacking.tokens(length) for indices, lacking in work)
        done = 0

        def advance(tokens: int) -> None:
            nonlocal done
            done += tokens
            if progress is not None:
                progress(done, total)

        advance(0)
        for indices, lacking in work:
            for piece in self._unit(indices, lacking, advance):
                self.store.add(piece)

    def self_test(self, say: Callable[[str], None]) -> None:
        """Does the model carry its state, score a batch as it scores one sequence, and look only at the past?

        A lost state is worked around by recomputing in full, a batch that disturbs its sequences by batches of one.

        Raises:
            InputError: values that are not finite, or that depend on later tokens.
        """
        settings = self.scorer_settings
        name = settings.get("name")
        tolerance = TOLERANCE.get(str(settings.get("dtype")), TOLERANCE["float32"])
        tokens = self.windows.tokens([0, min(1, len(self.windows) - 1)])
        half = min(self.windows.length // 2, max(32, int(getattr(self.scorer, "sliding_window", 0)) + 8))
        tokens = tokens[:, : min(self.windows.length, 2 * half)].copy()
        if len(self.windows) == 1:
            tokens[1] = np.roll(tokens[1], 1)
        full, _ = self._log_prob(tokens)
        single, _ = self._log_prob(tokens[:1])
        prefix, state = self._log_prob(tokens[:, :half])
        try:
            first, _ = self._log_prob(tokens[:, half:], state)
            again, _ = self._log_prob(tokens[:, half:], state)
            continued = max(_largest(full[:, half:] - first), _largest(full[:, half:] - again))
        except Exception as error:  # whatever a model's own code raises when it cannot go on
            say(f"{name}: cannot continue from a cached state ({type(error).__name__})")
            continued = np.inf
        differences = {
            "batched against single": _largest(full[:1] - single),
            "prefix of a longer pass": _largest(full[:, :half] - prefix),
            "continued from a state": continued,
        }
        if differences["prefix of a longer pass"] > tolerance:
            raise InputError(
                f"{name}: later tokens change the odds of earlier ones by "
                f"{differences['prefix of a longer pass']:.2g} nats; expected a causal model"
            )
        if continued > tolerance:
            self._recompute = True
            say(f"{name}: continuing from a state is off by {continued:.2g} nats; shuffled passes are computed in full")
        if differences["batched against single"] > tolerance:
            self.budget = 1
            say(
                f"{name}: in a batch its values move by {differences['batched against single']:.2g} nats; "
                "sequences are scored one by one"
            )
        trusted = [value for name, value in differences.items() if value <= tolerance]
        report = {
            "tokens": int(tokens.size),
            "tolerance": tolerance,
            "differences": {key: value if np.isfinite(value) else None for key, value in differences.items()},
            "noise_floor": max(trusted, default=None),
            "recomputed_in_full": self._recompute,
            "one_by_one": differences["batched against single"] > tolerance,
            "platform": getattr(self.scorer, "platform", None),
        }
        self.store.add_self_test(report)

    @property
    def scorer_settings(self) -> Mapping[str, Any]:
        return _settings_of(self.scorer)

    def _unit(self, indices: NDArray[np.int64], lacking: Wanted, advance: Callable[[int], None]) -> Iterator[Piece]:
        info = {
            "windows": indices.tolist(),
            "documents": self.windows.document[indices].tolist(),
            "starts": self.windows.start[indices].tolist(),
        }
        if lacking.conditional or lacking.shuffled:
            conditional, shuffled, partners = self._conditional(indices, lacking, advance)
            # The shuffled pieces first: with the conditional one in place a resumed run would read X once more for them.
            for shuffle, values in shuffled.items():
                extra = {"shuffle": shuffle, "partners": partners[shuffle].tolist()}
                yield Piece("shuffled", values, {**info, **extra})
            if lacking.conditional:
                yield Piece("conditional", {"": conditional}, {**info, "bytes": self.windows.bytes(indices)})
        if lacking.marginal:
            values = {str(split): np.empty((len(indices), n), np.float32) for split, n in lacking.marginal}
            for split, n in lacking.marginal:

                def marginal(rows: slice, split: int = split, n: int = n) -> None:
                    tokens = self.windows.tokens(indices[rows])[:, split : split + n]
                    values[str(split)][rows] = self._log_prob(tokens)[0]
                    advance(tokens.size)

                self._in_batches(len(indices), n, marginal)
            yield Piece("marginal", values, info)
        if lacking.contexts:
            yield Piece("contexts", self._contexts(indices, lacking.contexts, advance), info)

    def _contexts(
        self, indices: NDArray[np.int64], spans: Spans, advance: Callable[[int], None]
    ) -> dict[str, NDArray[np.float32]]:
        """log q(y1 y2 | c) of each window's Y for the first contexts c that are from other documents, (windows, contexts)."""
        count = max(count for _, count in spans)
        pieces, documents = self.windows.contexts(count)
        tokens = self.windows.tokens(indices)
        values = {str(split): np.empty((len(indices), count), np.float32) for split, _ in spans}
        given = {str(split): np.empty((len(indices), len(pieces)), np.float32) for split, _ in spans}

        def after(rows: slice) -> None:
            state = None if self._recompute else self._log_prob(pieces[rows])[1]
            for split, _ in spans:
                for window in range(len(indices)):
                    start = np.repeat(tokens[window : window + 1, split : split + 2], rows.stop - rows.start, 0)
                    if self._recompute:
                        whole = self._log_prob(np.concatenate([pieces[rows], start], 1))[0][:, pieces.shape[1] :]
                    else:
                        whole = self._log_prob(start, state)[0]
                    given[str(split)][window, rows] = whole.sum(1)
                    advance(start.size)

        self._in_batches(len(pieces), pieces.shape[1] + 2, after)
        for window, own in enumerate(self.windows.document[indices]):
            for split, _ in spans:
                values[str(split)][window] = given[str(split)][window, documents != own][:count]
        return values

    def _conditional(
        self, indices: NDArray[np.int64], lacking: Wanted, advance: Callable[[int], None]
    ) -> tuple[NDArray[np.float32], dict[int, dict[str, NDArray[np.float32]]], dict[int, NDArray[np.int64]]]:
        """The conditional pass, left at each split by the shuffled ones, which go on from its state."""
        length = self.windows.length
        drawn = {shuffle: self.windows.partners(indices, shuffle) for shuffle, _ in lacking.shuffled}
        conditional = np.empty((len(indices), length), np.float32)
        shuffled = {
            shuffle: {str(split): np.empty((len(indices), n), np.float32) for split, n in parts}
            for shuffle, parts in lacking.shuffled
        }
        # Cut where all shuffled passes leave, also those that the store holds: the same cuts give the same last bits.
        stops = sorted({split for _, parts in self.wanted.shuffled for split, _ in parts})
        cuts = [0, *([] if self._recompute else stops)]
        if lacking.conditional:
            cuts.append(length)

        def read(rows: slice) -> None:
            tokens, state = self.windows.tokens(indices[rows]), None
            for begin, end in pairwise(cuts):
                conditional[rows, begin:end], state = self._log_prob(tokens[:, begin:end], state)
                advance(tokens[:, begin:end].size)
                if not self._recompute:
                    follow(rows, end, tokens, state)
            if self._recompute:
                for split in stops:
                    follow(rows, split, tokens, None)

        def follow(rows: slice, split: int, tokens: NDArray[Any], state: Any) -> None:
            for shuffle, parts in lacking.shuffled:
                for n in (n for at, n in parts if at == split):
                    other = drawn[shuffle][0][rows, split : split + n]
                    if self._recompute:
                        both = np.concatenate([tokens[:, :split], other], 1)
                        shuffled[shuffle][str(split)][rows] = self._log_prob(both)[0][:, split:]
                    else:
                        shuffled[shuffle][str(split)][rows] = self._log_prob(other, state)[0]
                    advance(other.size)

        self._in_batches(len(indices), length, read)
        return conditional, shuffled, {shuffle: documents for shuffle, (_, documents) in drawn.items()}

    def _in_batches(self, count: int, length: int, work: Callable[[slice], None]) -> None:
        """`work` on rows 0..count, as many at a time as the token budget holds; halved for good when memory runs out."""
        first = 0
        while first < count:
            size = min(count - first, max(1, self.budget // length))
            try:
                work(slice(first, first + size))
            except Exception as error:
                if size == 1 or not _out_of_memory(error):
                    raise
                self.budget = size // 2 * length
                continue
            first += size

    def _log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        values, state = self.scorer.log_prob(tokens, state)
        values = np.asarray(values)
        if values.shape != tokens.shape:
            raise InputError(
                f"scorer: log_prob gave shape {values.shape}; expected {tokens.shape}, one value per target"
            )
        if not np.isfinite(values).all():
            worst = values[~np.isfinite(values)][0]
            raise InputError(
                f"scorer: a log-probability of {worst} from {self.scorer_settings.get('name')}; expected finite values: "
                "information is infinite where the model gives an event no chance"
            )
        return values.astype(np.float32, copy=False), state


def prepare(
    corpus: Corpus | NDArray[Any],
    model: Any,
    *,
    out: str | os.PathLike[str],
    length: int,
    splits: Sequence[int] | None,
    ratios: Sequence[int],
    shuffles: int,
    contexts: int,
    windows: int | None,
    device: str | None,
    dtype: Any,
    revision: str | None,
    max_batch_tokens: int | None,
    seed: int,
    start_token: str | int | None,
    shard: tuple[int, int] | None,
    say: Callable[[str], None],
) -> Job:
    """Check everything that can be checked before the model runs, then open or make the store."""
    spans = split_spans(length, splits, ratios)
    if shuffles < 0:
        raise InputError(f"shuffles: {shuffles}; expected 0 or more")
    if contexts and contexts < FEWEST_CONTEXTS:
        raise InputError(
            f"contexts: {contexts}; expected 0 for none, or {FEWEST_CONTEXTS} or more: fewer are too biased"
        )
    if max_batch_tokens is not None and max_batch_tokens < 1:
        raise InputError(f"max_batch_tokens: {max_batch_tokens}; expected 1 or more")
    own, parts = shard or (0, 1)
    if not 0 <= own < parts:
        raise InputError(f"shard: {own}/{parts}; expected i/n with 0 <= i < n")
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device is None and ranks > 1:
        device = _device_of_rank(int(os.environ.get("LOCAL_RANK", rank)))
    source = None
    if isinstance(model, (str, os.PathLike)):
        from l2m.scoring.models import resolve_model

        source = resolve_model(model, revision=revision)
        _check_context(source.name, source.context, length)
        if isinstance(corpus, Corpus):
            _check_tokenizer(corpus, source)
    found = Windows(corpus, length, count=windows, seed=seed, decoder=_decoder(corpus, source))
    if shuffles:
        found.partners([0], 0)
    if contexts:
        found.contexts(1)
    scorer = _scorer(model, source, device, dtype, start_token)
    _check_context(str(_settings_of(scorer).get("name")), getattr(scorer, "context", None), length)
    vocabulary = getattr(scorer, "vocab_size", None)
    if isinstance(corpus, Corpus) and vocabulary is not None and corpus.tokens.size:
        largest = int(corpus.tokens.max())
        if largest >= vocabulary:
            raise InputError(f"corpus: token id {largest}; the model knows ids below {vocabulary}")
    budget = max_batch_tokens or int(getattr(scorer, "token_budget", lambda: 1 << 16)())
    store = Store(out)
    settings = {
        "corpus": _describe(corpus, found),
        "model": dict(_settings_of(scorer)),
        "length": length,
        "seed": seed,
        "sentence_starts": found.at_sentences,
        "unit": max(1, min(_LARGEST_UNIT, budget // length)),
    }
    if (store.folder / "scores.json").exists():
        settings["unit"] = store.open().settings["unit"]
    store.create(settings)
    _keep_statistics(store, corpus)
    shuffled = tuple((shuffle, spans) for shuffle in range(shuffles))
    wanted = Wanted(True, spans, shuffled, tuple((split, contexts) for split, _ in spans if contexts))
    return Job(scorer, found, store, wanted, budget=budget, shard=(own * ranks + rank, parts * ranks))


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
    for piece in store.pieces(damaged=damaged):
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


def _scorer(model: Any, source: Any, device: str | None, dtype: Any, start_token: str | int | None) -> Any:
    if hasattr(model, "log_prob"):
        return model
    from l2m.scoring.language_model import LanguageModel

    if source is not None:
        return LanguageModel.load(source, device=device, dtype=dtype, start_token=start_token)
    if hasattr(model, "forward") and hasattr(model, "config"):
        return LanguageModel.of_instance(model, start_token=start_token)
    raise InputError(
        f"model: a {type(model).__name__}; expected a name, a folder, a causal model of transformers, or a scorer with log_prob"
    )


def _settings_of(scorer: Any) -> Mapping[str, Any]:
    return getattr(scorer, "settings", None) or {"name": f"{type(scorer).__module__}.{type(scorer).__qualname__}"}


def _check_context(name: str, context: int | None, length: int) -> None:
    if context is not None and context < length:
        raise InputError(f"length: {length}; the context of {name} is {context} tokens")


def _check_tokenizer(corpus: Corpus, source: Any) -> None:
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


def _describe(corpus: Corpus | NDArray[Any], windows: Windows) -> dict[str, Any]:
    if isinstance(corpus, Corpus):
        return {
            "hash": windows.hash,
            "documents": len(corpus),
            "tokens": int(corpus.tokens.size),
            "tokenizer": corpus.tokenizer,
        }
    return {"hash": windows.hash, "documents": len(corpus), "tokens": int(corpus.size), "tokenizer": {"name": "rows"}}


def _keep_statistics(store: Store, corpus: Corpus | NDArray[Any]) -> None:
    """Entropies of the corpus's n-grams, which the estimators' n-gram correction wants; once per store."""
    path = store.folder / "statistics.json"
    whole = corpus if isinstance(corpus, Corpus) else None
    if whole is None and np.asarray(corpus).dtype.kind in "iu":
        rows = np.asarray(corpus)
        whole = Corpus(rows.ravel(), np.arange(len(rows) + 1) * rows.shape[1])
    if whole is not None and not path.exists():
        write_json(path, {"ngram_entropy": {str(n): _ngram_entropy(whole, n) for n in (1, 2, 3)}})


def _ngram_entropy(corpus: Corpus, n: int) -> float:
    """Grassberger's entropy of the n-grams that lie inside documents."""
    from l2m.entropy import entropy

    size = corpus.tokens.size - n + 1
    inside = np.ones(max(size, 0), bool)
    for cut in corpus.offsets[1:-1]:
        inside[max(0, cut - n + 1) : cut] = False
    # Ranks keep the combined key small: 3 grams of up to 2 million distinct ids fit into 63 bits.
    _, ranks = np.unique(corpus.tokens, return_inverse=True)
    keys = np.zeros(int(inside.sum()), np.int64)
    for k in range(n):
        keys = keys * (int(ranks.max()) + 1) + ranks[k : k + size][inside]
    return float(entropy(np.unique(keys, return_counts=True)[1]).value)


def _device_of_rank(rank: int) -> str | None:
    import torch

    return f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"


def _out_of_memory(error: Exception) -> bool:
    name, text = type(error).__name__, str(error).lower()
    return (
        name == "OutOfMemoryError"
        or isinstance(error, MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def _largest(difference: NDArray[Any]) -> float:
    return float(np.abs(difference).max(initial=0.0))
