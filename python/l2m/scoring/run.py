"""`l2m.score`: the self-test, then what a store lacks, window after window, each part written when it is done."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from l2m.base.forecast import Forecast
from l2m.base.progress import Progress
from l2m.base.threads import DaemonPool
from l2m.corpora.corpus import Corpus
from l2m.errors import ServerFault
from l2m.scoring.missing import Wanted, Work, missing, wanted_of
from l2m.scoring.model_source import ModelSource
from l2m.scoring.ngram_entropy import NgramSource, keep_ngram_entropies, ngram_tokens
from l2m.scoring.passes import Passes
from l2m.scoring.prefix import Prefix
from l2m.scoring.request import Request, windows_array
from l2m.scoring.scorer import settings_of
from l2m.scoring.scores import Scores
from l2m.scoring.self_test import self_test
from l2m.scoring.settings import ScoreSettings, share_of
from l2m.scoring.store import Asked, Store
from l2m.scoring.windows import CONTEXT_TOKENS, Windows

# Tokens of the windows that share a file: enough to be worth one, and little enough to be lost. The same on every machine,
# because shards that start together have to cut the same list.
_UNIT_TOKENS, _UNIT_WINDOWS = 4096, 8
# Windows that run side by side where memory allows.
_LARGEST_BATCH = 32
# Such groups at a time for a source that waits for others: a group waits for its slowest answer in each pass.
_GROUPS, _LOOK_EVERY = 3, 0.2
_BUDGET = 1 << 16  # tokens in one call of a scorer that names none


def score(
    corpus: Corpus | ArrayLike,
    model: Any,
    *,
    out: str | os.PathLike[str],
    length: int = 2048,
    splits: Sequence[int] | None = None,
    ratios: Sequence[int] = (2, 3, 4),
    shuffles: int = 1,
    contexts: int = 0,
    entropy: bool = False,
    windows: int | None = None,
    window_starts: Literal["anywhere", "head"] = "anywhere",
    device: str | None = None,
    dtype: Any = None,
    revision: str | None = None,
    max_batch_tokens: int | None = None,
    seed: int = 0,
    start_token: str | int | None = None,
    prefix: Prefix = None,
    ngrams_from: Corpus | str | os.PathLike[str] | None = None,
    trust_remote_code: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Log-probabilities of windows of a corpus under a model, kept in a folder that can be stopped, resumed and extended.

    Every token of the three passes drawn in `l2m.scoring` is evaluated once. What the folder already holds is not run
    again, so more windows, splits, ratios or shuffles can be asked for later. What the self-test works around, and files
    that are scored again because they were damaged, are logged as warnings.

    Args:
        corpus: token ids made with the model's own tokenizer; or an array (n, length), each row a window of its own
            document, of ids or, for a scorer of densities, real numbers.
        model: a hub name, a folder, a GGUF file, an installed package with one, what `l2m.scoring.resolve_model` found, a
            `transformers` model in memory, a model behind a server (`l2m.Endpoint`), or a scorer (`l2m.scoring.Scorer`).
        out: the folder.
        length: L, tokens per window.
        splits: the l of X = first l tokens; default 2, 4, 8, ... up to length / min(ratios).
        ratios: total lengths to measure at each split, as multiples of it: L / l.
        shuffles: K, shuffled partners per window, for vCLUB; 0 for none.
        contexts: K, contexts from other documents after which the first two tokens of each Y are scored, for the "averaged"
            correction: 0 for none, else 64 or more. Costs 2 K tokens per window and split besides the passes drawn above.
        entropy: keep the entropy of the model's prediction at every position too, from the same logits, for `l2m.position_nll`. A
            store that was scored without it reads its windows once more.
        windows: how many windows; None for one per document. Several of one document are disjoint.
        window_starts: "anywhere": each window begins at a sentence start anywhere in its document, drawn by the seed; "head": the
            first begins with the document, the next follow it. Of an array the rows are the windows.
        device: "cpu", "cuda", ... or a device map; None: a GPU if there is one.
        dtype: torch dtype or its name; None: float32 on a CPU, else the checkpoint's.
        revision: branch, tag or commit of a hub model.
        max_batch_tokens: tokens in one forward pass; None: by free memory. Halved when memory runs out.
        seed: draws where windows begin, the partners and the contexts.
        start_token: id or string of the token before each text; None: the model's own, unless that controls chats.
        prefix: text after the start token, before X and before Y alone: one, or several, of which the mixture is scored
            (`l2m.scoring.prefix`), at the cost of as many runs; a list of ids instead of a text where the model has no tokenizer.
            None: a blank line, where the tokenizer has one and the context has room. "none": the start token alone.
        ngrams_from: a corpus, or its folder, whose n-grams the "ngram" correction takes; None: those of the scored corpus. Those of
            an array of windows are too few unless they cover 70 % of its text: then the correction is refused.
        trust_remote_code: run the Python code that the model's folder brings; without it such code never runs.
        shard: (i, n): do only the i-th of n parts of the work, i from 0. Ranks of torchrun or accelerate share by themselves.
        progress: `progress(tokens done, tokens to do)`.

    Returns:
        The log-probabilities, read from `out`.

    Raises:
        InputError: text shorter than one window; a context shorter than the window; splits that do not fit; a corpus made
            with another tokenizer; no start token; a model whose weights are not those of its checkpoint, or whose
            log-probabilities depend on later tokens or on the length of the input; a folder with scores of other settings.
            Or `entropy` of a scorer that cannot give it, such as a server.
        ServerFault: a server that does not answer, or whose log-probabilities cannot be used; of the kind InputError.

    Example:
        >>> class Sticky:
        ...     # A token repeats with probability 0.9.
        ...     def log_prob(self, tokens, state=None):
        ...         before = np.concatenate([np.full((len(tokens), 1), -1) if state is None else state, tokens[:, :-1]], 1)
        ...         repeats = np.where(tokens == before, 0.9, 0.1)
        ...         return np.log(np.where(before < 0, 0.5, repeats)), tokens[:, -1:]
        >>> rng = np.random.default_rng(0)
        >>> rows = (rng.integers(2, size=(300, 1)) + np.cumsum(rng.random((300, 32)) < 0.1, axis=1)) % 2
        >>> scores = l2m.score(rows, Sticky(), out='scores', length=32)
        >>> scores
        Scores(scores, 300 windows of 32 tokens, splits [2, 4, 8, 16], 1 shuffles)
    """
    settings = ScoreSettings(
        length=length, splits=splits, ratios=ratios, shuffles=shuffles, contexts=contexts, entropy=entropy, windows=windows,
        window_starts=window_starts, device=device, dtype=dtype, revision=revision, max_batch_tokens=max_batch_tokens,
        seed=seed, start_token=start_token, prefix=prefix, ngrams_from=ngrams_from, trust_remote_code=trust_remote_code,  # type: ignore[arg-type]
    )  # fmt: skip
    prepare(Request(corpus=windows_array(corpus), model=model, settings=settings), out, shard).run(progress)
    return Scores.open(out)


@dataclasses.dataclass(kw_only=True)
class ScoringRun:
    """Scoring that is ready to run: a scorer, windows, a store and what the store lacks."""

    request: Request
    scorer: Any
    windows: Windows
    store: Store
    wanted: Wanted
    work: Work
    budget: int
    ngrams: NgramSource

    def run(self, progress: Progress | None) -> None:
        """Self-test, then every part that is missing; the corpus's n-grams last."""
        if self.work or not self.store.self_tests():  # a report that was removed is made again
            cuts = [split for _, parts in self.wanted.shuffled[:1] for split, _ in parts]
            test = getattr(self.scorer, "self_test", partial(self_test, self.scorer))
            tested = test(self.windows, cuts)
            _require_same_values(self.store, self.scorer, tested.report)
            self.store.add_self_test(tested.report)
            self.run_passes(progress, recompute=tested.recompute, one_by_one=tested.one_by_one)
        keep_ngram_entropies(self.store, self.ngrams, progress)

    def run_passes(self, progress: Progress | None, *, recompute: bool = False, one_by_one: bool = False) -> None:
        """Every part that is missing."""
        passes = Passes(self.scorer, self.windows, self.wanted, 1 if one_by_one else self.budget, recompute)
        total = sum(len(indices) * lacking.tokens(self.windows.length) for indices, lacking in self.work)
        done = 0

        counting, caller = threading.Lock(), threading.current_thread()

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(done, total)

        def advance(tokens: int) -> None:
            nonlocal done
            with counting:
                done += tokens
            if threading.current_thread() is caller:
                report(done, total)

        def run(units: list[np.ndarray[Any, Any]], lacking: Wanted) -> None:
            for piece in passes.pieces(np.concatenate(units), lacking, advance):
                start = 0
                for unit in units:
                    self.store.add(piece.rows(slice(start, start + len(unit))))
                    start += len(unit)

        advance(0)
        if not hasattr(self.scorer, "windows_at_once"):
            for units, lacking in self._side_by_side():
                run(units, lacking)
            return
        # While one group waits for its slowest answer, the others keep requests in flight.
        self.scorer.resume()
        pool = DaemonPool(_GROUPS, "l2m-scoring")
        running: set[Future[None]] = set()
        try:
            for units, lacking in self._side_by_side():
                running.add(pool.submit(partial(run, units, lacking)))
                while len(running) >= _GROUPS:
                    running = self._watch(running, lambda: report(done, total))
            while running:
                running = self._watch(running, lambda: report(done, total))
        except BaseException:
            self.scorer.stop()
            raise
        finally:
            pool.close()
        report(done, total)

    @staticmethod
    def _watch(running: "set[Future[None]]", show: Callable[[], None]) -> "set[Future[None]]":
        """Wait a moment for one of them to end, and raise what it raised; the rest."""
        ended, rest = wait(running, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
        show()
        for future in ended:
            future.result()
        return rest

    def _side_by_side(self) -> Iterator[tuple[list[np.ndarray[Any, Any]], Wanted]]:
        """Parts that lack the same passes, as many together as a batch holds."""
        rows = max(1, min(getattr(self.scorer, "windows_at_once", _LARGEST_BATCH), self.budget // self.windows.length))
        units: list[np.ndarray[Any, Any]] = []
        for place, (indices, lacking) in enumerate(self.work):
            units.append(indices)
            following = self.work[place + 1] if place + 1 < len(self.work) else None
            size = sum(map(len, units))
            if following is None or following[1] != lacking or size + len(following[0]) > rows:
                yield units, lacking
                units = []


def prepare(request: Request, out: str | os.PathLike[str], shard: tuple[int, int] | None = None) -> ScoringRun:
    """Check all that can be checked before the model runs, open or make the store, and find what it lacks."""
    settings, share = request.settings, share_of(shard)
    wanted = wanted_of(settings)
    source, windows = request.find()
    ngrams = request.ngrams(source)
    scorer = request.scorer(source)
    store = Store(out)
    store.create(_store_settings(request, source, windows, scorer, store))
    store.ask(
        Asked(len(windows), settings.spans, settings.shuffles, settings.contexts, ngrams.tokens > 0, settings.entropy)
    )
    return ScoringRun(
        request=request,
        scorer=scorer,
        windows=windows,
        store=store,
        wanted=wanted,
        work=missing(store, len(windows), wanted, share, redo=True),
        budget=settings.max_batch_tokens or int(getattr(scorer, "token_budget", lambda: _BUDGET)()),
        ngrams=ngrams,
    )


def _require_same_values(store: Store, scorer: Any, report: Mapping[str, Any]) -> None:
    """Refuse a server whose first values are not those that this store's earlier runs got under the same name.

    Raises:
        ServerFault: another model answers.
    """
    values = report.get("values")
    for earlier in store.self_tests() if isinstance(values, list) else ():
        before = earlier.get("values")
        if isinstance(values, list) and isinstance(before, list) and len(before) == len(values):
            apart = float(np.abs(np.array(before) - np.array(values)).max())
            if apart > report["tolerance"]:
                raise ServerFault(
                    f"{store.folder}: another model than the one these scores were begun with answers to the name "
                    f"{settings_of(scorer).get('name')!r}: the same ids differ by {apart:.2g} nats; serve that model, or score into "
                    "another folder"
                )


def _store_settings(
    request: Request, source: ModelSource | None, windows: Windows, scorer: Any, store: Store
) -> dict[str, Any]:
    corpus, length = request.corpus, request.settings.length
    unit = max(1, min(_UNIT_WINDOWS, _UNIT_TOKENS // length))
    return {
        "corpus": {
            "hash": windows.hash,
            "documents": len(corpus),
            "tokenizer": corpus.tokenizer if isinstance(corpus, Corpus) else {"name": "rows"},
        },
        "model": dict(settings_of(scorer)),
        "length": length,
        "seed": request.settings.seed,
        "sentence_starts": windows.at_sentences,
        "prefix": request.prefixes(source).recorded,
        # Stores of versions before, which had no such setting, began at the head of documents.
        "window_starts": request.settings.window_starts if isinstance(corpus, Corpus) else None,
        # A store keeps the unit it was begun with.
        "unit": store.open().settings["unit"] if store.exists else unit,
    }


def forecast(request: Request, out: str | os.PathLike[str], shard: tuple[int, int] | None = None) -> Forecast:
    """What `l2m.score` would do, without loading the weights or writing anything.

    Returns:
        The tokens to evaluate and, of a language model, memory and seconds (from 2 * parameters operations per token and the
        speed of a matrix product here). `details`: windows, documents, length, splits, passes (tokens of each kind),
        tokens_per_window, ngram_tokens (tokens whose n-grams are counted at the end), parameters.
    """
    settings, share = request.settings, share_of(shard)
    wanted = wanted_of(settings)
    source, windows = request.find()
    store = Store(out)
    if store.exists:
        store.open()
    else:
        store.settings = {"unit": max(1, min(_UNIT_WINDOWS, _UNIT_TOKENS // settings.length))}
    passes = {"conditional": 0, "marginal": 0, "shuffled": 0, "contexts": 0}
    prefixes = [len(ids) for ids in request.prefixes(source).ids] or [0]
    for indices, lacking in missing(store, len(windows), wanted, share, redo=False):
        for name, tokens in lacking.of_passes(settings.length, prefixes).items():
            passes[name] += len(indices) * tokens
    tokens = sum(passes.values())
    if settings.contexts and passes["contexts"]:
        tokens += len(windows.contexts(settings.contexts)[0]) * CONTEXT_TOKENS * len(prefixes)
    cost: dict[str, Any] = {"parameters": None, "memory_bytes": None, "seconds": None}
    if not hasattr(request.model, "log_prob"):
        from l2m.scoring.language_model import estimate

        model = request.model if source is None else source
        cost = estimate(model, tokens, settings.device, settings.dtype, settings.max_batch_tokens)
    return Forecast(
        work={"tokens": tokens},
        tasks={} if cost["seconds"] is None else {"scoring": cost["seconds"]},
        memory_bytes=cost["memory_bytes"],
        details={
            "windows": len(windows),
            "documents": int(np.unique(windows.document).size),
            "length": settings.length,
            "splits": [split for split, _ in settings.spans],
            "passes": passes,
            "tokens_per_window": sum(wanted.of_passes(settings.length, prefixes).values()),
            "ngram_tokens": ngram_tokens(store, request.ngrams(source)),
            "parameters": cost["parameters"],
        },
    )
