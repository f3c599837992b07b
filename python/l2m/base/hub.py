"""Single files from the Hugging Face hub: from its cache where they are there, with one clear error where they are not."""

from pathlib import Path

from l2m.errors import InputError


def hub_file(argument: str, name: str, file: str, revision: str | None = None) -> Path:
    """`file` of the hub repository `name`, fetched into the hub's cache unless it is there.

    Raises:
        InputError: naming `argument`: the extra is missing, `name` is no hub name, there is no such repository or file, or the
            hub cannot be reached.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise InputError(f"{argument}: {name!r} from the hub needs the extra 'text': pip install 'l2m[text]'") from None
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
        raise InputError(f"{argument}: {name!r}: {file} cannot be had from the hub: {error}") from None


def require_hub(argument: str, name: str) -> None:
    """Fail at once where the hub's host has no address: the hub's own client tries for half a minute before it says so."""
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
