from pathlib import Path


def merge(*folders: Path, out: Path | None = None, corpus: str | None = None, json: bool = False) -> None:
    """Join the results of shards: a corpus, two-point information or n-gram counts.

    Examples
    --------
    l2m merge corpus
    l2m merge shard-0 shard-1 --out corpus

    Parameters
    ----------
    folders
        One folder that all shards wrote to, or the folder of each shard.
    out
        Folder for the joined result. Default, if only one folder is named: that folder.
    corpus
        Folder or URL of the corpus that was counted, if it has moved since.
    json
        Print the result as one JSON object.
    """
    from l2m.cli import ngrams, two_point
    from l2m.cli.output import print_result
    from l2m.cli.tokenize import corpus_summary, corpus_words
    from l2m.corpora.corpus import Corpus
    from l2m.corpora.merge import merge_parts
    from l2m.counting.tasks import holds_job, merge_folders
    from l2m.errors import InputError

    if not folders:
        raise InputError("FOLDERS: nothing named; expected folders that shards wrote to")
    if out is None and len(folders) > 1:
        raise InputError(f"out: not named for {len(folders)} folders; expected the folder for the joined result")
    target = out or folders[0]
    if not any(map(holds_job, folders)):
        whole = merge_parts(folders, target)
        return print_result(corpus_summary(target, whole), json, corpus_words(target, whole))
    job, answer = merge_folders(folders, target, None if corpus is None else Corpus.open(corpus))
    if job.settings["job"] == "two-point":
        return two_point.show(answer, target, json)
    return ngrams.show(answer, target, json)
