"""What scoring is asked for: the options of `l2m.score` and of the command, in one place."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal

from l2m.base import checks
from l2m.errors import InputError
from l2m.scoring.prefix import as_prefix
from l2m.scoring.windows import STARTS

# Fewer contexts than this say less about the start of Y than the start token does. First token of Y, 512 windows,
# SmolLM2-135M, nats: start token -8.98; K = 2 -10.09; K = 32 -7.76; K = 511 -7.15.
FEWEST_CONTEXTS = 64
LONGEST = 1 << 24
"""Tokens in a window."""
MOST = 1 << 31
"""Windows, and tokens in a forward pass."""
MOST_SHUFFLES = 1024
MOST_CONTEXTS = 1 << 16

Spans = tuple[tuple[int, int], ...]
"""(split, how many) pairs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Options of `l2m.score`; checked when made."""

    length: int = 2048
    """L, tokens in a window: past and future together."""
    splits: Sequence[int] | None = None
    """Lengths l of the past, such as 2,4,8. Default: 2, 4, 8, ... up to length / the smallest ratio."""
    ratios: Sequence[int] = (2, 3, 4)
    """Total lengths at each split, as multiples of it: L / l, such as 2,3,4."""
    shuffles: int = 1
    """Shuffled partners for each window, for vCLUB; 0 for none."""
    contexts: int = 0
    """Contexts from other documents after which the first two tokens of each Y are scored, for the averaged correction: 0,
    or 64 and more. Each costs 2 tokens for each window and split."""
    entropy: bool = False
    """Keep the entropy of the model's own prediction at every position, from the same pass, for l2m nll."""
    windows: int | None = None
    """How many windows: one of each document, then a second of each, ... Default: one for each document."""
    window_starts: Literal["anywhere", "head"] = "anywhere"
    """Where windows begin: at a sentence start anywhere in the document, drawn by the seed; or from the head of the document
    on, which is a title page in many texts."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps, auto, ... Default: a GPU if there is one."""
    dtype: str | None = None
    """float32, bfloat16, float16. Default: float32 on a CPU, the checkpoint's own on a GPU."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    start_token: str | None = None
    """The token before each window, where the model names none or one that controls chats."""
    prefix: tuple[str, ...] | None = None
    """Text that the model is given after the start token, before X and before Y alone: a window begins mid-text, and a start token
    says that a text begins. Default: a blank line, where the tokenizer has one and the context has room. Repeat it for the
    mixture of several; each costs a run. none: the start token alone."""
    ngrams_from: str | None = None
    """Folder of a corpus, made with the same tokenizer, whose n-grams the ngram correction takes. Default: the corpus that is
    scored; name a larger one of the same kind where it is small."""
    max_batch_tokens: int | None = None
    """Tokens in a forward pass. Default: from free memory; halved when it runs out."""
    seed: int = 0
    """Draws where windows begin, the partners and the contexts."""
    trust_remote_code: bool = False
    """Run the Python code that the model's folder brings. Without it such code never runs."""

    def __post_init__(self) -> None:
        ratios = (2, 3, 4) if self.ratios is None else checks.wholes("ratios", self.ratios, 2, LONGEST)
        splits = None if self.splits is None else checks.wholes("splits", self.splits, 1, LONGEST)
        object.__setattr__(self, "ratios", ratios)
        object.__setattr__(self, "splits", splits)
        object.__setattr__(self, "prefix", as_prefix(self.prefix))
        checks.whole("length", self.length, 4, LONGEST)
        checks.whole("shuffles", self.shuffles, 0, MOST_SHUFFLES)
        checks.whole("contexts", self.contexts, 0, MOST_CONTEXTS)
        checks.instance("entropy", self.entropy, bool, "True or False")
        checks.seed(self.seed)
        checks.one_of("window_starts", self.window_starts, STARTS)
        if 0 < self.contexts < FEWEST_CONTEXTS:
            raise InputError(
                f"contexts: {self.contexts}; expected 0 for none, or {FEWEST_CONTEXTS} or more: fewer are too biased"
            )
        if self.windows is not None:
            checks.whole("windows", self.windows, 1, MOST)
        if self.max_batch_tokens is not None:
            checks.whole("max_batch_tokens", self.max_batch_tokens, 1, MOST)
        _ = self.spans

    @property
    def spans(self) -> Spans:
        """(l, length of the longest Y that follows it) for each split."""
        return split_spans(self.length, self.splits, self.ratios)


def split_spans(length: int, splits: Sequence[int] | None, ratios: Sequence[int]) -> Spans:
    """(l, length of the longest Y that follows it) for each split.

    Raises:
        InputError: a ratio below 2, no split, or one that does not fit into the window with the smallest ratio.
    """
    checks.whole("length", length, 4, LONGEST)
    ratios = checks.wholes("ratios", ratios, 2, LONGEST)
    if not ratios:
        raise InputError("ratios: none; expected whole numbers from 2")
    if splits is None:
        splits = [1 << k for k in range(1, length.bit_length()) if (1 << k) * min(ratios) <= length]
    splits = checks.wholes("splits", splits, 1)
    if not splits:
        raise InputError(f"splits: none fits a window of {length} tokens at ratio {min(ratios)}")
    for split in splits:
        if split * min(ratios) > length:
            raise InputError(
                f"splits: {split}; expected whole numbers from 1 to {length // min(ratios)}, so that {min(ratios)} times "
                f"the split fits into the window of {length} tokens"
            )
    longest = {split: max(r for r in ratios if r * split <= length) for split in splits}
    return tuple((split, (longest[split] - 1) * split) for split in sorted(longest))


def share_of(shard: tuple[int, int] | None) -> tuple[int, int]:
    """(i, n): this process does the i-th of n shares of the work: of the shard, and within it of a launcher's ranks.

    Raises:
        InputError: i that is not from 0 to n - 1.
    """
    own, parts = shard or (0, 1)
    parts = checks.whole("shard", parts, 1, MOST)
    if not 0 <= checks.whole("shard", own) < parts:
        raise InputError(f"shard: {own}/{parts}; expected i/n with 0 <= i < n")
    rank, ranks = _of_launcher("RANK", 0), _of_launcher("WORLD_SIZE", 1)
    return own * ranks + rank, parts * ranks


def _of_launcher(name: str, default: int) -> int:
    value: Any = os.environ.get(name, default)
    try:
        return int(value)
    except ValueError:
        raise InputError(
            f"{name}: {value!r} in the environment; expected the whole number that torchrun sets"
        ) from None
