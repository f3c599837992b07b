"""The tokenizer a model comes with, as a folder with tokenizer.json: its own, or one converted from what it carries.

A conversion (10 s for the GGUF file of SmolLM2-135M) is kept under the user's cache folder, named by the hash of what it was
made from.
"""

from pathlib import Path
from typing import Any

from blake3 import blake3

from l2m.base.cache import kept_folder
from l2m.base.files import cache_folder, file_hash
from l2m.base.hub import alone, reading
from l2m.base.optional import require
from l2m.errors import InputError

# What a tokenizer without tokenizer.json is read from; config.json names its class.
_SLOW_FILES = ("*.model", "*.tiktoken", "*.txt", "tokenizer*.json", "vocab*.json", "added_tokens.json", "config.json")


def tokenizer_of_folder(folder: Path, name: str) -> Path:
    """A folder with `tokenizer.json` for the model in `folder`.

    Raises:
        InputError: the model comes without a tokenizer, or with one that has no fast form.
    """
    if (folder / "tokenizer.json").exists():
        return folder
    files = sorted({path for pattern in _SLOW_FILES for path in folder.glob(pattern) if path.is_file()})
    key = blake3("".join(f"{path.name} {file_hash(path)}\n" for path in files).encode()).hexdigest()
    return _converted(key, folder, name)


def tokenizer_of_gguf(file: Path, name: str, checksum: str | None = None) -> Path:
    """A folder with `tokenizer.json`, converted from a GGUF file.

    Args:
        checksum: the file's BLAKE3, where it is known.

    Raises:
        InputError: transformers is missing, or it cannot read the file's tokenizer.
    """
    with alone(file) as folder:
        return _converted(checksum or file_hash(file), folder, name, gguf_file=file.name)


def _converted(key: str, folder: Path, name: str, **options: Any) -> Path:
    def make(into: Path) -> None:
        require(f"{name}: its tokenizer has to be converted, which", "transformers")
        from transformers import AutoTokenizer

        with reading(f"{name}: its tokenizer cannot be loaded"):
            AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options).save_pretrained(into)
        if not (into / "tokenizer.json").exists():
            raise InputError(f"{name}: its tokenizer has no fast form; expected one that saves as tokenizer.json")

    return kept_folder(cache_folder() / "tokenizers" / key, make)
