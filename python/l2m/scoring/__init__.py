"""Log-probabilities of windows of text under a language model: what is input, what is predicted, and where it is kept.

A window is L tokens w1 .. wL; at a split l its first l are X and the next (r - 1) l are Y, for total lengths r l.
`*` is the start token, given exactly once and explicitly; below each input stands the token whose log-probability is
kept. Drawn for L = 8, l = 2 and l = 4:

    conditional   one pass gives every l and every r:  log q(Y|X) = sum of log q(w_i | *, w_<i) over the i in Y

        input     *   w1  w2  w3  w4  w5  w6  w7
        kept      w1  w2  w3  w4  w5  w6  w7  w8

    marginal      one pass per l, over its longest Y alone; a shorter Y is a prefix:  log q(Y)

        l = 2     *   w3  w4  w5  w6  w7                  l = 4     *   w5  w6  w7
                  w3  w4  w5  w6  w7  w8                            w5  w6  w7  w8

    shuffled      per l and per shuffle, a partner window v of another document after this window's X:  log q(Y'|X)
                  (the state of X is the conditional pass's own, kept as it comes by, so X is not read again)

        l = 2     [w1] w2  v3  v4  v5  v6  v7             l = 4     [w1 w2 w3] w4  v5  v6  v7
                       v3  v4  v5  v6  v7  v8                                  v5  v6  v7  v8

With L = 2048, l = 2, 4, ..., 1024 and r in {2, 3, 4} that is 2,048 + 4,090 + 4,090 tokens per pair; without shuffled
pairs and with r = 2 alone 2,048 + 2,046.

A scorer is anything with

    class Uniform:                                       # the ten lines a scorer of one's own needs
        settings = {"name": "uniform", "vocab": 256}     # JSON; tells stores of different scorers apart
        vocab_size = 256

        def log_prob(self, tokens, state=None):
            # tokens: (batch, n) ids. state: None after the start token alone, else what this method gave back.
            # Returns log q of each token given all before it, (batch, n), and the state after the last one.
            # A state may be passed several times, so it must not be changed in place.
            return np.full(tokens.shape, -np.log(256.0)), None

Optional: `begin(position)` (the state from which a marginal pass scores a Y at that position of the window, for sources
that are not the same everywhere), `context` (longest input), `token_budget()` (tokens in one call), `sliding_window`,
`platform` (what it runs on).
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.scoring.scores import Scores

if TYPE_CHECKING:
    from l2m.scoring.model_source import ModelSource

__all__ = ["Scorer", "Scores", "resolve_model", "score"]


class Scorer(Protocol):
    """ "Log q of these targets given this state": the one method a source of log-probabilities needs. See the module."""

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[Any], Any]:
        """Log q of each token of `tokens` (batch, n) given all before it, same shape, nats; the state after the last."""
        ...


def score(
    corpus: Corpus | NDArray[Any],
    model: Any,
    *,
    out: str | os.PathLike[str],
    length: int = 2048,
    splits: Sequence[int] | None = None,
    ratios: Sequence[int] = (2, 3, 4),
    shuffles: int = 1,
    contexts: int = 0,
    windows: int | None = None,
    device: str | None = None,
    dtype: Any = None,
    revision: str | None = None,
    max_batch_tokens: int | None = None,
    seed: int = 0,
    start_token: str | int | None = None,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Scores:
    """Log-probabilities of windows of a corpus under a model, kept in a folder that can be stopped, resumed and extended.

    Every token of the three passes drawn in `l2m.scoring` is evaluated once. What the folder already holds is not run
    again, so more windows, splits, ratios or shuffles can be asked for later.

    Args:
        corpus: token ids made with the model's own tokenizer; or an array (n, length), each row a window of its own
            document, of ids or, for a scorer of densities, real numbers.
        model: a hub name, a folder, a GGUF file, an installed package with one, what `resolve_model` found, a
            `transformers` model in memory, or a scorer (`l2m.scoring.Scorer`).
        out: the folder.
        length: L, tokens per window.
        splits: the l of X = first l tokens; default 2, 4, 8, ... up to length / min(ratios).
        ratios: total lengths to measure at each split, as multiples of it: L / l.
        shuffles: K, shuffled partners per window, for vCLUB; 0 for none.
        contexts: K, contexts from other documents after which the first two tokens of each Y are scored, for the "averaged"
            correction: 0 for none, else 64 or more. Costs 2 K tokens per window and split besides the passes drawn above.
        windows: how many windows; None for one per document. Several of one document are disjoint.
        device: "cpu", "cuda", ... or a device map; None: a GPU if there is one.
        dtype: torch dtype or its name; None: float32 on a CPU, else the checkpoint's.
        revision: branch, tag or commit of a hub model.
        max_batch_tokens: tokens in one forward pass; None: by free memory. Halved when memory runs out.
        seed: draws the partners.
        start_token: id or string of the token before each text; None: the model's own, unless that controls chats.
        shard: (i, n): do only the i-th of n parts of the work, i from 0. Ranks of torchrun or accelerate share by themselves.
        progress: `progress(tokens done, tokens to do)`.
        notify: takes lines worth telling, such as a failed self-test; default: stderr.

    Raises:
        InputError: text shorter than one window; a context shorter than the window; splits that do not fit; a corpus made
            with another tokenizer; no start token; a folder with scores of other settings.
    """
    from l2m.scoring.request import Request, prepare

    say = notify or (lambda line: print(f"l2m: {line}", file=sys.stderr))
    request = Request(
        corpus=corpus, model=model, length=length, splits=splits, ratios=ratios, shuffles=shuffles, contexts=contexts,
        windows=windows, device=device, dtype=dtype, revision=revision, max_batch_tokens=max_batch_tokens, seed=seed,
        start_token=start_token, shard=shard,
    )  # fmt: skip
    prepare(request, out, say).run(progress, say)
    return Scores.open(out)


def resolve_model(name: str | os.PathLike[str], *, revision: str | None = None) -> "ModelSource":
    """Find a model by name, folder, GGUF file or package, without loading it; see `l2m.scoring.model_source.resolve_model`."""
    from l2m.scoring import model_source

    return model_source.resolve_model(name, revision=revision)
