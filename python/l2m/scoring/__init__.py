"""Log-probabilities of windows of text under a language model: what is input, what is predicted, and where it is kept.

A window is L tokens w1 .. wL; at a split l its first l are X and the next (r - 1) l are Y, for total lengths r l.
`*` is the start token, given exactly once and explicitly; below each input is the token whose log-probability is
kept. Drawn for L = 8, l = 2 and l = 4:

    conditional   one pass gives every l and every r:  log q(Y|X) = sum of log q(w_i | *, w_<i) over the i in Y

        input     *   w1  w2  w3  w4  w5  w6  w7
        kept      w1  w2  w3  w4  w5  w6  w7  w8

    marginal      one pass per l, over its longest Y alone; a shorter Y is a prefix:  log q(Y)

        l = 2     *   w3  w4  w5  w6  w7                  l = 4     *   w5  w6  w7
                  w3  w4  w5  w6  w7  w8                            w5  w6  w7  w8

    shuffled      per l and per shuffle, a partner window v of another document after this window's X:  log q(Y'|X)
                  (the state of X is the conditional pass's own, kept as it is reached, so X is not read again)

        l = 2     [w1] w2  v3  v4  v5  v6  v7             l = 4     [w1 w2 w3] w4  v5  v6  v7
                       v3  v4  v5  v6  v7  v8                                  v5  v6  v7  v8

With L = 2048, l = 2, 4, ..., 1024 and r in {2, 3, 4} that is 2,048 + 4,090 + 4,090 tokens per pair; without shuffled
pairs and with r = 2 alone 2,048 + 2,046.

A scorer (`Scorer`) is anything with

    class Uniform:                                       # the ten lines a scorer of one's own needs
        settings = {"name": "uniform", "vocab": 256}     # JSON; tells stores of different scorers apart
        vocab_size = 256

        def log_prob(self, tokens, state=None):
            # tokens: (batch, n) ids. state: None after the start token alone, else what this method gave back.
            # Returns log q of each token given all before it, (batch, n), and the state after the last one.
            # A state may be passed several times, so it must not be changed in place.
            return np.full(tokens.shape, -np.log(256.0)), None

`Scorer` lists what else one may have.
"""

from l2m.scoring.model_source import ModelSource, resolve_model
from l2m.scoring.run import score
from l2m.scoring.scorer import Scorer
from l2m.scoring.scores import Scores

__all__ = ["ModelSource", "Scorer", "Scores", "resolve_model", "score"]
