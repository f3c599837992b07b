from pathlib import Path


def merge(*folders: Path, out: Path | None = None, json: bool = False) -> None:
    """Join what the shards of a job left.

    Parameters
    ----------
    folders
        One folder that all shards wrote to, or the folders of each.
    out
        Folder of the whole; the one folder where only one is named.
    json
        Print the result as one JSON object.
    """
    from l2m.cli.output import print_result
    from l2m.cli.tokenize import corpus_summary, corpus_words
    from l2m.errors import InputError
    from l2m.tokenize import merge_parts

    if not folders:
        raise InputError("FOLDERS: nothing named; expected folders that shards wrote to")
    if out is None and len(folders) > 1:
        raise InputError(f"out: not named for {len(folders)} folders; expected the folder to write the whole to")
    target = out or folders[0]
    corpus = merge_parts(folders, target)
    print_result(corpus_summary(target, corpus), json, corpus_words(target, corpus))
