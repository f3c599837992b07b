"""Text before every pass: what a model is told before X, and before Y alone, instead of a bare start token.

A window begins mid-text, and so does its Y, while a start token says that a text begins: the first tokens of both are scored
too low, those of Y in the marginal, those of X and of what follows a short X in the conditional. A prefix of neutral text
before both lowers both costs. The model with its prefix is a model like any other, so nothing else changes.

Several prefixes are a mixture. Over sequences s,

    q(s) = mean over k of q(s | prefix k),        log q(Y|X) = log q(X, Y) - log q(X),

so that each X has made its own prefixes likely by the time Y is read: token by token the prefixes are averaged with weights
that begin equal and are multiplied by what each prefix gave the tokens so far. The mean of log q(Y | X, prefix k) is another
number, below it. No mixture of K is worse than its best part by more than log K nats in a window, and the marginal and the
conditional are of one model, which estimates of information ask for.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.corpora.corpus import Corpus
from l2m.errors import InputError
from l2m.scoring.scorer import settings_of

if TYPE_CHECKING:
    from l2m.scoring.model_source import ModelSource

NONE = "none"
"""The name of the bare start token."""

BLANK_LINE = "\n\n"
"""The default: it says that a text goes on, in every language, and lowers both costs on books and on code (docs/scoring.md)."""

Prefix: TypeAlias = "str | Sequence[str | Sequence[int]] | None"
"""A text; or several texts, or lists of token ids, whose mixture is scored; None: `BLANK_LINE` where the model can be given one."""


class Prefixed:
    """A scorer whose texts come after a prefix; after several, the mixture.

    Args:
        scorer: see `l2m.scoring.Scorer`.
        prefixes: token ids of each; an empty one is the bare start token.
    """

    def __init__(self, scorer: Any, prefixes: Sequence[Sequence[int]]) -> None:
        self.scorer, self.settings = scorer, settings_of(scorer)
        self.prefixes = [np.array(ids, np.int64) for ids in prefixes]
        self.longest = max(map(len, prefixes))
        context = getattr(scorer, "context", None)
        self.context = None if context is None else context - self.longest
        self.vocab_size = getattr(scorer, "vocab_size", None)
        self.sliding_window = getattr(scorer, "sliding_window", None)
        self.platform = getattr(scorer, "platform", None)
        if hasattr(scorer, "token_budget"):
            self.token_budget = lambda: max(1, scorer.token_budget() // len(self.prefixes))
        # A mixture needs to know how likely X made each prefix; after a single one a state can be made without reading.
        self.state_is_ids = len(self.prefixes) == 1 and getattr(scorer, "state_is_ids", False)
        for name in ("windows_at_once", "stop", "resume"):
            if hasattr(scorer, name):
                setattr(self, name, getattr(scorer, name))
        if len(self.prefixes) == 1 and hasattr(scorer, "log_prob_and_entropy"):
            self.log_prob_and_entropy = self._alone_with_entropy
        if hasattr(scorer, "self_test"):
            self.self_test = partial(scorer.self_test, prefix=max(self.prefixes, key=len).tolist())

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        """Log q of each token given all before it, and the state after the last. See `l2m.scoring.scorer.Scorer`."""
        if self.state_is_ids:
            read = tokens[:, :0] if state is None else state
            alone, _ = self.scorer.log_prob(tokens, np.concatenate([_after(self.prefixes[0], tokens[:, :0]), read], 1))
            return alone, np.concatenate([read, tokens], 1)
        states, weights = state or (None, np.zeros((len(self.prefixes), len(tokens))))
        following, values = [], []
        for number, ids in enumerate(self.prefixes):
            if states is None:
                given, after = self.scorer.log_prob(_after(ids, tokens), None)
                given = given[:, len(ids) :]
            else:
                given, after = self.scorer.log_prob(tokens, states[number])
            values.append(np.asarray(given, np.float64))
            following.append(after)
        mixed, weights = mixture(np.stack(values), weights)
        return mixed, (following, weights)

    def _alone_with_entropy(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[Any], NDArray[Any], Any]:
        """`log_prob_and_entropy` after a single prefix. Of a mixture the entropy is not that of its parts."""
        skipped = 0 if state else len(self.prefixes[0])
        part, before = (tokens, state[0][0]) if state else (_after(self.prefixes[0], tokens), None)
        values, entropy, after = self.scorer.log_prob_and_entropy(part, before)
        return values[:, skipped:], entropy[:, skipped:], ([after], np.zeros((1, len(tokens))))

    def plain(self, tokens: NDArray[Any]) -> NDArray[np.float64]:
        """`log_prob` without shortcuts."""
        return self._by(getattr(self.scorer, "plain", lambda part: self.scorer.log_prob(part)[0]), tokens)

    def precise(self, tokens: NDArray[Any]) -> NDArray[np.float64] | None:
        """`plain` in double precision, where the scorer can."""
        precise = getattr(self.scorer, "precise", lambda part: None)
        return None if precise(tokens[:, :1]) is None else self._by(precise, tokens)

    def _by(self, scored: Callable[[NDArray[Any]], Any], tokens: NDArray[Any]) -> NDArray[np.float64]:
        values = [np.asarray(scored(_after(ids, tokens)), np.float64)[:, len(ids) :] for ids in self.prefixes]
        return mixture(np.stack(values), np.zeros((len(values), len(tokens))))[0]


def _after(ids: NDArray[np.int64], tokens: NDArray[Any]) -> NDArray[Any]:
    # The prefix is read anew in each pass that begins with it: some families lose their state where more than one token follows.
    return np.concatenate([np.tile(ids, (len(tokens), 1)), tokens], 1) if len(ids) else tokens


def mixture(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-probabilities of tokens under a mixture, (batch, n), and the log-weights after them.

    Args:
        values: log q of each token under each part, (parts, batch, n).
        weights: of the parts before the first token, up to a constant for each row, (parts, batch).
    """
    if len(values) == 1:
        return values[0], weights
    joint = weights[:, :, None] + np.concatenate([np.zeros((*values.shape[:2], 1)), np.cumsum(values, 2)], 2)
    total = np.logaddexp.reduce(joint, 0)
    return np.diff(total, axis=1), joint[:, :, -1] - total[:, -1]


class Resolved(NamedTuple):
    """Prefixes as the store records them, and their token ids; both empty for the bare start token."""

    named: tuple[str | list[int], ...] = ()
    ids: tuple[tuple[int, ...], ...] = ()

    @property
    def recorded(self) -> list[str | list[int]] | None:
        """JSON-ready; None for the bare start token."""
        return list(self.named) or None


def as_prefix(asked: Prefix) -> tuple[str | tuple[int, ...], ...] | None:
    """What was asked for as a tuple; None stays None.

    Raises:
        InputError: nothing, or something else than texts and lists of ids.
    """
    if asked is None or isinstance(asked, str):
        return None if asked is None else (asked,)
    if not isinstance(asked, Sequence) or not asked:
        raise InputError(f"prefix: {asked!r}; expected a text, several, or 'none' for the start token alone")
    return tuple(one if isinstance(one, str) else checks.wholes("prefix", one) for one in asked)


def recorded(asked: Sequence[str | tuple[int, ...]]) -> list[str | list[int]]:
    """Prefixes of `as_prefix` as JSON holds them."""
    return [one if isinstance(one, str) else list(one) for one in asked]


def resolve(
    asked: tuple[str | tuple[int, ...], ...] | None,
    source: "ModelSource | None",
    corpus: "Corpus | NDArray[Any]",
    room: float = math.inf,
) -> Resolved:
    """The prefixes asked for, as token ids of the model.

    Args:
        asked: from `as_prefix`; "none" is the bare start token, also as one of several. None: a blank line, unless the model has
            no tokenizer, its tokenizer cannot spell one, or it has no room.
        source: where the model's tokenizer is; None for a model in memory and other scorers.
        corpus: of bytes it says how a scorer without a tokenizer is given a text.
        room: tokens that the model can read beside a window.

    Raises:
        InputError: an empty one, or the same twice; a text where there is no tokenizer, or that the tokenizer cannot spell.
    """
    if asked is None:
        try:
            ids = () if source is None else _ids_of(BLANK_LINE, source, corpus)
        except InputError:
            ids = ()
        return Resolved((BLANK_LINE,), (ids,)) if 0 < len(ids) <= room else Resolved()
    if asked == (NONE,):
        return Resolved()
    if any(not one for one in asked):
        raise InputError(
            f"prefix: {list(asked)!r} holds an empty one; expected texts, or 'none' for the start token alone"
        )
    each = [(_ids_of(one, source, corpus) if one != NONE else ()) if isinstance(one, str) else one for one in asked]
    if len(set(each)) < len(each):
        raise InputError(f"prefix: {list(asked)!r} holds the same twice; expected prefixes that differ")
    return Resolved(tuple(recorded(asked)), tuple(each))


def _ids_of(text: str, source: "ModelSource | None", corpus: "Corpus | NDArray[Any]") -> tuple[int, ...]:
    if source is None:
        if isinstance(corpus, Corpus) and corpus.tokenizer["name"] == "bytes":
            return tuple(text.encode())
        raise InputError(f"prefix: the text {text!r} for a model without a tokenizer; expected token ids, or 'none'")
    ids, _ = source.encoder().encode([text])
    model = source.tokenizer().model
    unknown = source.tokenizer().token_to_id(getattr(model, "unk_token", None) or "")
    if (ids == (getattr(model, "unk_id", None) if unknown is None else unknown)).any():
        raise InputError(f"prefix: {text!r} has characters that the tokenizer of {source.name} does not know")
    return tuple(ids.tolist())
