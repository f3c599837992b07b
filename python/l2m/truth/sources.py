"""Sources whose information is known exactly, as scorers: the truth that the estimators are held against.

Each draws sequences (`sample`), scores them as a perfect model would (`log_prob`, see `l2m.scoring.Scorer`), knows the entropy of
each prediction (`log_prob_and_entropy`), and in closed form what the estimators must find: `bipartite_information(split, length)`
for "direct" and `vclub(split, length)`, which exceeds it by KL(p(x)p(y) || p(x,y)). `Mixture` is a scorer that is wrong by a known amount.
"""

import math
import os
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.errors import InputError
from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.gaussian_curves import vclub_curve


class MarkovSource:
    """A stationary first-order Markov chain: I(X; Y) is that of two neighbours, whatever l.

    Args:
        transition: (symbols, symbols), row a the probabilities of what follows a.

    Raises:
        InputError: rows that are no probabilities, or a chain without a unique stationary law.
    """

    def __init__(self, transition: ArrayLike) -> None:
        p = np.asarray(transition, float)
        if p.ndim != 2 or p.shape[0] != p.shape[1] or (p < 0).any() or not np.allclose(p.sum(1), 1):
            raise InputError(f"transition: an array of shape {p.shape}; expected square, every row probabilities")
        self.transition, self.vocab_size = p, len(p)
        solution, _, rank, _ = np.linalg.lstsq(
            np.vstack([p.T - np.eye(len(p)), np.ones(len(p))]), np.eye(len(p) + 1)[-1]
        )
        if rank < len(p):
            raise InputError("transition: several stationary laws; expected a chain that reaches every symbol")
        self.stationary: NDArray[np.float64] = solution
        self.settings = {"name": "Markov source", "transition": p.tolist()}

    def sample(self, count: int, length: int, *, seed: int) -> NDArray[np.uint16]:
        """(count, length) independent sequences."""
        random = np.random.default_rng(seed)
        tokens = np.empty((count, length), np.uint16)
        cumulative = np.cumsum(self.transition, 1)
        tokens[:, 0] = random.choice(self.vocab_size, count, p=self.stationary)
        for i in range(1, length):
            tokens[:, i] = (random.random(count)[:, None] > cumulative[tokens[:, i - 1], :-1]).sum(1)
        return tokens

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        with np.errstate(divide="ignore"):
            first = np.log(self.stationary[tokens[:, 0]] if state is None else self.transition[state, tokens[:, 0]])
            rest = np.log(self.transition[tokens[:, :-1], tokens[:, 1:]])
        return np.concatenate([first[:, None], rest], 1), tokens[:, -1]

    def log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """`log_prob`, and the entropy of each prediction."""
        values, after = self.log_prob(tokens, state)
        after_symbol = _entropy(self.transition)
        first = np.full(len(tokens), _entropy(self.stationary)) if state is None else after_symbol[state]
        return values, np.concatenate([first[:, None], after_symbol[tokens[:, :-1]]], 1), after

    def bipartite_information(self, split: int, length: int) -> float:
        """I(X; Y) in nats."""
        return _information(self.stationary[:, None] * self.transition)

    def vclub(self, split: int, length: int) -> float:
        """What vCLUB finds with a perfect model, in nats."""
        return _vclub(self.stationary[:, None] * self.transition)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the chain as a language model that `transformers` loads: a Llama without layers.

        With identity embeddings and `lm_head = log P` what follows a token depends on it alone. Ids are the symbols, then
        the start token <s>, after which the stationary law holds.

        Raises:
            InputError: a chain with zero probabilities, whose logarithms a model cannot hold.
        """
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        if (self.transition == 0).any():
            raise InputError(
                "transition: zero probabilities; expected a chain in which everything can follow everything"
            )
        width = self.vocab_size + 1
        never = -30.0
        logits = np.full((width, width), never)
        logits[:-1, :-1], logits[-1, :-1] = np.log(self.transition), np.log(self.stationary)
        config = LlamaConfig(
            vocab_size=width, hidden_size=width, num_hidden_layers=0, num_attention_heads=1, num_key_value_heads=1,
            head_dim=2, intermediate_size=1, max_position_embeddings=1 << 16, rms_norm_eps=1e-12, bos_token_id=width - 1,
            eos_token_id=None, tie_word_embeddings=False,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(torch.eye(width))
            # The norm makes the root mean square of a unit vector 1: its length sqrt(width).
            model.model.norm.weight.fill_(width**-0.5)
            model.lm_head.weight.copy_(torch.tensor(logits.T))
        model.save_pretrained(folder)
        save_tokenizer_of_ids(folder, self.vocab_size)


class LatentSource:
    """Binary tokens that share one latent variable: it is drawn once per sequence, tokens are independent given it.

    The number of ones in X and in Y say all X and Y know of it, so I(X; Y) is a finite sum; it grows with l up to the entropy
    of the latent variable.

    Args:
        probabilities: P(token = 1) for each value of the latent variable, which are equally likely.
    """

    vocab_size = 2

    def __init__(self, probabilities: ArrayLike) -> None:
        self.probabilities = np.asarray(probabilities, float)
        if self.probabilities.ndim != 1 or not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise InputError("probabilities: expected one dimension, values from 0 to 1")
        self.settings = {"name": "latent source", "probabilities": self.probabilities.tolist()}

    def sample(self, count: int, length: int, *, seed: int) -> NDArray[np.uint16]:
        """(count, length) independent sequences."""
        random = np.random.default_rng(seed)
        latent = random.choice(self.probabilities, count)
        return (random.random((count, length)) < latent[:, None]).astype(np.uint16)

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        joint = self._log_joint(tokens, state)
        # The sum over the latent telescopes into the conditionals.
        return np.diff(np.logaddexp.reduce(joint, 2), axis=1), joint[:, -1:]

    def _log_joint(self, tokens: NDArray[Any], state: Any) -> NDArray[np.float64]:
        """log p(first i tokens, latent) up to a constant, (batch, n + 1, values of the latent)."""
        with np.errstate(divide="ignore"):
            of_token = np.log(np.stack([1 - self.probabilities, self.probabilities]))[tokens]
        before = np.zeros((len(tokens), 1, self.probabilities.size)) if state is None else state
        return np.concatenate([before, before + np.cumsum(of_token, 1)], 1)

    def log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """`log_prob`, and the entropy of each prediction."""
        joint = self._log_joint(tokens, state)
        total = np.logaddexp.reduce(joint, 2)
        one = np.exp(joint - total[:, :, None])[:, :-1] @ self.probabilities
        return np.diff(total, axis=1), _entropy(np.stack([one, 1 - one], 2)), joint[:, -1:]

    def bipartite_information(self, split: int, length: int) -> float:
        """I(X; Y) in nats."""
        return _information(self._joint(split, length))

    def vclub(self, split: int, length: int) -> float:
        """What vCLUB finds with a perfect model, in nats."""
        return _vclub(self._joint(split, length))

    def _joint(self, split: int, length: int) -> NDArray[np.float64]:
        """P(ones in X, ones in Y)."""
        from scipy.stats import binom

        def ones(n: int) -> NDArray[np.float64]:
            return np.asarray(binom.pmf(np.arange(n + 1)[:, None], n, self.probabilities))

        return ones(split) @ ones(length - split).T / self.probabilities.size


class CopySource:
    """Each token repeats the one `distance` before it, or with probability `noise` is drawn anew, uniformly.

    These are `distance` interleaved Markov chains; X and Y share as many of them as have a token and its copy on either
    side of the split, so that I(X; Y) grows in proportion to l up to l = distance. With noise 0 vCLUB is infinite.
    """

    def __init__(self, vocab_size: int, distance: int, noise: float) -> None:
        if vocab_size < 2 or distance < 1 or not 0 <= noise <= 1:
            raise InputError(
                f"copy source: {(vocab_size, distance, noise)}; expected >= 2 symbols, distance >= 1, noise in 0..1"
            )
        self.vocab_size, self.distance, self.noise = vocab_size, distance, noise
        self.settings = {"name": "copy source", "vocab_size": vocab_size, "distance": distance, "noise": noise}

    def sample(self, count: int, length: int, *, seed: int) -> NDArray[np.uint16]:
        """(count, length) independent sequences."""
        random = np.random.default_rng(seed)
        tokens = random.integers(self.vocab_size, size=(count, length), dtype=np.uint16)
        copied = random.random((count, length)) >= self.noise
        for i in range(self.distance, length):
            tokens[:, i] = np.where(copied[:, i], tokens[:, i - self.distance], tokens[:, i])
        return tokens

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        before = np.empty((len(tokens), 0), np.int64) if state is None else state
        both = np.concatenate([before, tokens.astype(np.int64)], 1)
        values = np.full(both.shape, -np.log(self.vocab_size))
        same = both[:, self.distance :] == both[:, : -self.distance]
        with np.errstate(divide="ignore"):
            other, copy = np.log(self.noise / self.vocab_size), np.log(1 - self.noise + self.noise / self.vocab_size)
        values[:, self.distance :] = np.where(same, copy, other)
        return values[:, before.shape[1] :], both[:, -self.distance :]

    def log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """`log_prob`, and the entropy of each prediction."""
        values, after = self.log_prob(tokens, state)
        before = 0 if state is None else state.shape[1]
        repeats = before + np.arange(tokens.shape[1]) >= self.distance
        of_copy = float(_entropy(self._pair()[0] * self.vocab_size))
        return values, np.tile(np.where(repeats, of_copy, np.log(self.vocab_size)), (len(tokens), 1)), after

    def bipartite_information(self, split: int, length: int) -> float:
        """I(X; Y) in nats."""
        return self._shared(split, length) * _information(self._pair())

    def vclub(self, split: int, length: int) -> float:
        """What vCLUB finds with a perfect model, in nats."""
        return self._shared(split, length) * _vclub(self._pair())

    def _shared(self, split: int, length: int) -> int:
        """Pairs (i, i + distance) with i in X and i + distance in Y."""
        return max(0, min(split, length - self.distance) - max(0, split - self.distance))

    def _pair(self) -> NDArray[np.float64]:
        """Joint law of a token and its copy."""
        m = self.vocab_size
        return ((1 - self.noise) * np.eye(m) + self.noise / m) / m


class LatentForest:
    """Latent trees whose leaves are the tokens, interleaved: each token is a leaf of a tree drawn anew, tree k with p_k ~ k^(-1/beta).

    The root of a tree is a fair bit, drawn once per sequence; each of its leaves shows the bit, or with probability `noise`
    the other one. A token is 2 k + what its leaf shows. So texts mention facts (Dębowski's Santa Fe process, 2011, with
    noise): the more is read, the more trees are known, and I(X; Y) of the two halves of L tokens grows like L^beta until
    every tree is known. Stationary. (One tree over all tokens has no exponent: its root separates X from Y.)

    With d the leaves of a tree that show 1 less those that show 0 and s = log((1 - noise) / noise), the probability of a
    tree's leaves is a constant times cosh(s d / 2), and d is a walk: all below are expectations of log cosh.

    Args:
        beta: between 0 and 1, both excluded.
        trees: how many.
        noise: above 0 and below 1/2.
    """

    def __init__(self, beta: float, *, trees: int = 4096, noise: float = 0.05) -> None:
        beta, noise = checks.real("beta", beta, 0, 1), checks.real("noise", noise, 0, 0.5)
        trees = checks.whole("trees", trees, 1, 1 << 30)
        if not 0 < beta < 1 or not 0 < noise < 0.5:
            raise InputError(f"beta, noise: {beta}, {noise}; expected 0 < beta < 1 and 0 < noise < 1/2")
        self.vocab_size, self.noise, self.step = 2 * trees, noise, math.log((1 - noise) / noise)
        weight = np.arange(1, trees + 1) ** (-1 / beta)
        self.probability: NDArray[np.float64] = weight / weight.sum()
        self._expected = lru_cache(maxsize=1024)(self._sum_over_trees)
        self.settings = {"name": "latent forest", "beta": beta, "trees": trees, "noise": noise}

    def sample(self, count: int, length: int, *, seed: int) -> NDArray[np.uint32]:
        """(count, length) independent sequences."""
        random = np.random.default_rng(seed)
        tree = random.choice(self.probability.size, (count, length), p=self.probability)
        root = random.integers(2, size=(count, self.probability.size), dtype=np.uint8)
        wrong = random.random((count, length)) < self.noise
        return (2 * tree + (np.take_along_axis(root, tree, 1) ^ wrong)).astype(np.uint32)

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        new = tokens.astype(np.int64)
        both = new if state is None else np.concatenate([state, new], 1)
        d = self.balance(both, new.shape[1])
        return self.log_leaf(new, d), both

    def log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """`log_prob`, and the entropy of each prediction: a token changes what is known of its own tree alone."""
        values, both = self.log_prob(tokens, state)
        d, tree = self.balance(both, both.shape[1]), both >> 1
        change = self.probability[tree] * (self._leaf_entropy(d + 2 * (both & 1) - 1) - self._leaf_entropy(d))
        nothing_known = float(_entropy(self.probability)) + math.log(2)
        entropy = nothing_known + np.cumsum(change, 1) - change
        return values, entropy[:, -tokens.shape[1] :], both

    def _leaf_entropy(self, d: NDArray[np.int64]) -> NDArray[np.float64]:
        """Entropy of what the next leaf of a tree shows, from its balance."""
        constant = math.log(self.noise * (1 - self.noise)) / 2
        ratio = [_log_cosh(self.step * (d + sign) / 2) - _log_cosh(self.step * d / 2) for sign in (-1, 1)]
        return _entropy(np.exp(constant + np.stack(ratio, -1)))

    def balance(self, tokens: NDArray[np.int64], last: int, reach: int | None = None) -> NDArray[np.int64]:
        """d of each of the last tokens' trees, from the tokens before it, (batch, last).

        Args:
            tokens: (batch, n).
            last: how many tokens at the end are asked about.
            reach: count only so many tokens before each; None: all.
        """
        tree, sign = tokens >> 1, 2 * (tokens & 1) - 1
        n = tokens.shape[1]
        here, there = np.arange(n - last, n)[:, None], np.arange(n)
        known = there < here if reach is None else (there < here) & (there >= here - reach)
        same = (tree[:, n - last :, None] == tree[:, None, :]) & known
        return np.asarray(np.einsum("bij,bj->bi", same, sign))

    def log_leaf(self, tokens: NDArray[np.int64], d: NDArray[Any]) -> NDArray[np.float64]:
        """log probability of tokens whose trees have the balance d so far."""
        sign = 2 * (tokens & 1) - 1
        ratio = _log_cosh(self.step * (d + sign) / 2) - _log_cosh(self.step * d / 2)
        constant = math.log(self.noise * (1 - self.noise)) / 2
        return np.asarray(np.log(self.probability[tokens >> 1]) + constant + ratio)

    def block_entropy(self, n: int) -> float:
        """H of n tokens, nats."""
        of_tree = -float((self.probability * np.log(self.probability)).sum())
        constant = math.log(self.noise * (1 - self.noise)) / 2
        return n * (of_tree - constant) - self._expected(n, 0)

    def bipartite_information(self, split: int, length: int) -> float:
        """I(X; Y) in nats."""
        return self._expected(length, 0) - self._expected(split, 0) - self._expected(length - split, 0)

    def vclub(self, split: int, length: int) -> float:
        """What vCLUB finds with a perfect model, in nats: half of all shuffled trees have the other root."""
        return (self._expected(length, 0) - self._expected(split, length - split)) / 2

    def _sum_over_trees(self, forth: int, back: int) -> float:
        """Sum over trees of E log cosh(s d / 2), d after `forth` tokens of one root and `back` of the other."""
        n, total = forth + back, 0.0
        mean = n * self.probability
        # A walk's law is the transform of its characteristic function; one that seldom moves needs few points.
        reach = np.minimum(n, np.ceil(mean + 12 * np.sqrt(mean) + 24)).astype(np.int64)
        sizes = 1 << np.ceil(np.log2(2 * reach + 1)).astype(np.int64)
        for size in np.unique(sizes).tolist():
            p = self.probability[sizes == size][:, None]
            wave = np.exp(2j * np.pi * np.arange(size) / size)
            step = 1 - p + p * ((1 - self.noise) * wave + self.noise / wave)
            law = np.fft.fft(step**forth * step.conj() ** back, axis=1).real / size
            d = np.minimum(np.arange(size), size - np.arange(size))
            total += float((law @ _log_cosh(self.step * d / 2)).sum())
        return total


class GaussianSource:
    """The hierarchical Gaussian language: real numbers for tokens, log-densities for log-probabilities.

    Args:
        law: windows are sequences of this law, or their beginnings; a Y inside one is scored by its marginal density.
    """

    def __init__(self, law: HierarchicalGaussian) -> None:
        self.law = law
        self.settings = law.settings

    def sample(self, count: int, length: int, *, seed: int) -> NDArray[np.float64]:
        """(count, length) beginnings of independent sequences."""
        return self.law.sample(count, seed=seed)[0][:, :length]

    def begin(self, position: int) -> Any:
        """The state before the value at `position` of a window of which nothing is known yet."""
        return position, None

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        start, before = state or self.begin(0)
        known = tokens if before is None else np.concatenate([before, tokens], 1)
        values = self.law.log_conditionals(known, start=start)
        return values[:, known.shape[1] - tokens.shape[1] :], (start, known)

    def log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """`log_prob`, and the differential entropy of each prediction, which is the same whatever came before."""
        values, (start, known) = self.log_prob(tokens, state)
        n = known.shape[1]
        std = (
            self.law.conditional_std[:n]
            if start == 0
            else np.diag(np.linalg.cholesky(self._covariance(start, start + n)))
        )
        entropy = np.log(std[n - tokens.shape[1] :]) + 0.5 * math.log(2 * math.pi * math.e)
        return values, np.tile(entropy, (len(tokens), 1)), (start, known)

    def bipartite_information(self, split: int, length: int) -> float:
        """I(X; Y) in nats."""
        if length == self.law.length:
            return float(self.law.bipartite_information(split))
        # H(Y) - H(Y|X): the law knows the conditional deviations.
        future = np.linalg.slogdet(self._covariance(split, length))[1] / 2
        return float(future - np.log(self.law.conditional_std[split:length]).sum())

    def vclub(self, split: int, length: int) -> float:
        """What vCLUB finds with a perfect model, in nats."""
        return float(vclub_curve(self._covariance(0, length))[split])

    def _covariance(self, start: int, stop: int) -> NDArray[np.float64]:
        positions = np.arange(start, stop)
        return np.asarray(self.law.correlation(positions[:, None], positions))


class Mixture:
    """A scorer that gives every token (1 - weight) of what another gives it, and weight / vocab_size besides."""

    def __init__(self, scorer: Any, weight: float) -> None:
        if not 0 <= weight <= 1:
            raise InputError(f"weight: {weight}; expected 0 to 1")
        self.scorer, self.weight, self.vocab_size = scorer, weight, scorer.vocab_size
        self.settings = {
            "name": f"{scorer.settings['name']} mixed with uniform",
            "weight": weight,
            "of": scorer.settings,
        }

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        values, state = self.scorer.log_prob(tokens, state)
        return np.log((1 - self.weight) * np.exp(values) + self.weight / self.vocab_size), state


def save_tokenizer_of_ids(folder: str | os.PathLike[str], symbols: int) -> None:
    """Write a tokenizer whose text is the ids themselves, "0" to "symbols - 1", and then the start token <s>."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = {str(symbol): symbol for symbol in range(symbols)}
    tokenizer = Tokenizer(WordLevel({**words, "<s>": symbols}, unk_token="<s>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)


def _log_cosh(x: NDArray[Any]) -> NDArray[np.float64]:
    size = np.abs(x)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - math.log(2))


def _entropy(p: NDArray[Any]) -> NDArray[np.float64]:
    """Entropy of probabilities along the last axis, nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-np.where(p > 0, p * np.log(p), 0.0).sum(-1))


def _information(joint: NDArray[np.float64]) -> float:
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / product[some])).sum())


def _vclub(joint: NDArray[np.float64]) -> float:
    """I + KL(p(x)p(y) || p(x,y)): the mean of log p(x,y)/p(x)p(y) over pairs less that over shuffled pairs."""
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    some = product > 0
    if (joint[some] == 0).any():
        return float("inf")
    return float(((joint - product)[some] * np.log(joint[some] / product[some])).sum())
