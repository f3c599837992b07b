from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from l2m.corpora.corpus import Corpus


def corpus(action: Literal["info"], folder: str, *, top: int = 10, json: bool = False) -> None:
    """Describe a corpus: size, documents, vocabulary.

    Examples
    --------
    l2m corpus info corpus --top 20

    Parameters
    ----------
    action
        info: size, documents, vocabulary, and the start of the rank-frequency curve.
    folder
        Folder or URL of the corpus.
    top
        How many of the most frequent ids to list.
    json
        Print the result as one JSON object.
    """
    import numpy as np

    from l2m.base import checks
    from l2m.cli.output import print_result
    from l2m.corpora.corpus import Corpus
    from l2m.corpora.encoders import spell

    checks.whole("top", top)
    held = Corpus.open(folder)
    ids, counts = frequencies(held)
    order = np.argsort(-counts, kind="stable")
    lengths = np.diff(held.offsets)
    shown = order[:top]
    spelled = spell(held, ids[shown].tolist())
    result = {
        "folder": folder,
        "tokens": int(held.tokens.size),
        "bytes": held.tokens.nbytes,
        "documents": len(held),
        "document_tokens": {
            name: float(np.quantile(lengths, at)) for name, at in (("min", 0), ("median", 0.5), ("max", 1))
        },
        "vocab_size": held.vocab_size,
        "occurring": int(ids.size),
        "once": int((counts == 1).sum()),
        "tokenizer": held.tokenizer["name"],
        "most_frequent": [
            {"rank": rank + 1, "id": int(ids[place]), "text": text, "count": int(counts[place])}
            for rank, (place, text) in enumerate(zip(shown, spelled, strict=True))
        ],
    }
    lines = [
        f"{folder}: {held.tokens.size:,} tokens ({held.tokens.nbytes / 2**20:,.1f} MiB), tokenizer {held.tokenizer['name']}",
        f"{len(held):,} documents of {lengths.min():,} to {lengths.max():,} tokens, median {np.median(lengths):,.0f}",
        f"{ids.size:,} of {held.vocab_size:,} ids occur, {(counts == 1).sum():,} of them once",
        f"{'rank':>6} {'count':>14} {'share':>7}  id",
    ]
    for entry in result["most_frequent"]:
        share = entry["count"] / max(held.tokens.size, 1)
        text = "" if entry["text"] is None else f" {entry['text']!r}"
        lines.append(f"{entry['rank']:>6} {entry['count']:>14,} {share:>7.2%}  {entry['id']}{text}")
    print_result(result, json, "\n".join(lines))


def frequencies(corpus: "Corpus") -> "tuple[NDArray[np.integer], NDArray[np.int64]]":
    """(ids that occur, how often), in bounded memory where the vocabulary is one of a tokenizer."""
    import numpy as np

    if corpus.vocab_size > 1 << 26:
        return np.unique(corpus.tokens, return_counts=True)
    counts = np.zeros(corpus.vocab_size, np.int64)
    for start in range(0, corpus.tokens.size, 1 << 24):
        counts += np.bincount(corpus.tokens[start : start + (1 << 24)], minlength=corpus.vocab_size)
    ids = np.flatnonzero(counts)
    return ids, counts[ids]
