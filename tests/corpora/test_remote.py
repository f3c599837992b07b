"""A corpus behind a URL writes nothing but the files of a corpus, into the cache, and only where they are what was promised."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import l2m
from l2m.base.files import file_hash

pytest.importorskip("fsspec")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None: ...


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("L2M_CACHE", str(tmp_path / "a" / "b" / "c" / "cache"))
    return tmp_path / "a" / "b" / "c" / "cache"


@pytest.fixture(params=["file", "http"])
def served(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Iterator[tuple[str, Path]]:
    """A corpus in the folder, and the URL of it on this machine."""
    folder = tmp_path / "site" / "corpus"
    l2m.tokenize(["one text", "another one"], "words", folder)
    if request.param == "file":
        yield f"file://{folder}", folder
        return
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/corpus", folder
    server.shutdown()
    thread.join()
    server.server_close()


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()


def edit(folder: Path, **changes: object) -> None:
    """Change the manifest without its own checksum, as somebody would who means harm."""
    value = json.loads((folder / "corpus.json").read_text())
    value.pop("checksum", None)
    (folder / "corpus.json").write_text(json.dumps({**value, **changes}))


def files_of(folder: Path) -> dict[str, str]:
    held: dict[str, str] = json.loads((folder / "corpus.json").read_text())["files"]
    return held


def test_it_is_downloaded_once_and_mapped_from_the_cache(served: tuple[str, Path], cache: Path) -> None:
    url, folder = served
    fetched = l2m.Corpus.open(url)
    assert (fetched.hash, fetched.folder) == (l2m.Corpus.open(folder).hash, url)
    assert isinstance(fetched.tokens, np.memmap)
    assert str(fetched.tokens.filename).startswith(str(cache))
    (folder / "tokens.npy").unlink()
    assert l2m.Corpus.open(url).hash == fetched.hash


@pytest.mark.parametrize(
    "name",
    [
        "../canary", "../../../../canary", "../../../../../../../../../../tmp/l2m-canary", "sub/../../canary", "canary", "..",
        "/tmp/l2m-canary", "corpus.json", "tokens.npy/../../canary", "%2e%2e/canary", "..\\canary", "~/canary",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused_before_a_byte_is_written(
    served: tuple[str, Path], cache: Path, tmp_path: Path, name: str
) -> None:
    url, folder = served
    (folder.parent / "canary").write_text("planted")
    (folder / "canary").write_text("planted")
    edit(folder, files={**files_of(folder), name: file_hash(folder / "canary")})
    before = tree(tmp_path)
    with pytest.raises(l2m.InputError, match="files holds") as caught:
        l2m.Corpus.open(url)
    assert url in str(caught.value)
    assert str(cache) not in str(caught.value)
    assert tree(tmp_path) - before <= {"a", "a/b", "a/b/c", "a/b/c/cache", "a/b/c/cache/corpora"}
    assert not Path("/tmp/l2m-canary").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "remove", "folder"])
@pytest.mark.parametrize("name", ["tokens.npy", "documents.jsonl"])
def test_a_file_that_is_not_what_was_promised_leaves_nothing_in_the_cache(
    served: tuple[str, Path], cache: Path, name: str, damage: str
) -> None:
    url, folder = served
    content = (folder / name).read_bytes()
    if damage == "remove":
        (folder / name).unlink()
    elif damage == "folder":
        (folder / name).unlink()
        (folder / name).mkdir()
    else:
        changed = {
            "flip": content[:-1] + bytes([content[-1] ^ 1]),
            "cut": content[:-3],
            "longer": content + bytes(100_000),
        }[damage]
        (folder / name).write_bytes(changed)
    with pytest.raises(l2m.InputError, match=url):
        l2m.Corpus.open(url)
    assert list((cache / "corpora").iterdir()) == []
    if damage == "folder":
        (folder / name).rmdir()
    (folder / name).write_bytes(content)
    assert len(l2m.Corpus.open(url)) == 2


def test_tokens_may_be_no_larger_than_the_manifest_says(served: tuple[str, Path], cache: Path) -> None:
    url, folder = served
    (folder / "tokens.npy").write_bytes(bytes(1 << 20))
    edit(folder, files={**files_of(folder), "tokens.npy": file_hash(folder / "tokens.npy")})
    with pytest.raises(l2m.InputError, match=r"tokens\.npy: more than 16,4\d\d bytes"):
        l2m.Corpus.open(url)
    assert list((cache / "corpora").iterdir()) == []


def test_files_that_are_no_corpus_though_their_checksums_are_right_do_not_stay(
    served: tuple[str, Path], cache: Path
) -> None:
    url, folder = served
    np.save(folder / "offsets.npy", np.array([0, 99, 4]))
    edit(folder, files={**files_of(folder), "offsets.npy": file_hash(folder / "offsets.npy")})
    with pytest.raises(l2m.InputError, match=rf"{url}/offsets\.npy: damaged"):
        l2m.Corpus.open(url)
    assert list((cache / "corpora").iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_copy_that_was_damaged_since_is_made_again(served: tuple[str, Path], cache: Path, damage: str) -> None:
    url, folder = served
    hash = l2m.Corpus.open(url).hash
    [copy] = (cache / "corpora").iterdir()
    content = (copy / "tokens.npy").read_bytes()
    (copy / "tokens.npy").unlink()
    if damage != "remove":
        (copy / "tokens.npy").write_bytes(content[:-1] + b"\1" if damage == "flip" else content[:-1])
    opened = l2m.Corpus.open(url)
    assert opened.tokens.tolist() == l2m.Corpus.open(folder).tokens.tolist()
    assert opened.hash == hash


def test_a_download_that_was_stopped_is_removed_by_the_next(served: tuple[str, Path], cache: Path) -> None:
    from l2m.base.files import temporary_path

    url, _ = served
    (cache / "corpora").mkdir(parents=True)
    left = temporary_path(cache / "corpora" / "hash")
    gone = left.with_name(
        left.name.replace(f"-{left.name.split('-')[1]}-", "-4194305-")
    )  # no process has so high a number
    gone.mkdir()
    (gone / "tokens.npy").write_bytes(bytes(1000))
    l2m.Corpus.open(url)
    assert [path.name[0] for path in (cache / "corpora").iterdir()] != ["."]
    assert len(list((cache / "corpora").iterdir())) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/corpus",
        "nothing://host/corpus",
        "http://[::1/corpus",
        "memory://absent",
        "://",
        "file:///nowhere",
    ],
)
def test_what_cannot_be_reached_is_one_line(cache: Path, url: str) -> None:
    with pytest.raises(l2m.InputError) as caught:
        l2m.Corpus.open(url)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_links_in_a_remote_corpus_are_not_followed(served: tuple[str, Path], cache: Path) -> None:
    url, folder = served
    if url.startswith("http"):
        return  # a server follows its own links, and says nothing of them
    (folder / "tokens.npy").rename(folder / "elsewhere")
    (folder / "tokens.npy").symlink_to("elsewhere")
    with pytest.raises(l2m.InputError, match=r"tokens\.npy: a link"):
        l2m.Corpus.open(url)
