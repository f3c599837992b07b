"""Made-up texts with information across distances."""

import numpy as np


def some_texts(documents: int, *, words: int = 600, seed: int = 0) -> list[str]:
    """Documents of made-up words in sentences: each keeps to a topic, so that information reaches across it."""
    random = np.random.default_rng(seed)
    vocabulary = ["".join(random.choice(list("abcdefgh"), size=random.integers(2, 6))) for _ in range(200)]
    texts = []
    for _ in range(documents):
        weights = random.dirichlet(np.full(200, 0.05))
        chosen = random.choice(vocabulary, size=words, p=weights)
        texts.append(" ".join(f"{word.capitalize()}." if i % 9 == 8 else word for i, word in enumerate(chosen)))
    return texts
