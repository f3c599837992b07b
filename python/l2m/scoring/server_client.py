"""HTTP to one or several servers: a bounded number of requests at a time, each repeated until it is answered whole."""

import importlib
import json
import os
import random
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

from l2m.base.optional import require
from l2m.base.threads import DaemonPool
from l2m.errors import InputError, ServerFault

T = TypeVar("T")

# What a server says when it is busy or restarting; every other status from 400 on is final.
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries


class Refused(ServerFault):
    """The server answered that it cannot do what was asked."""


class Stopped(Exception):
    """The run was stopped while a request waited for its turn or its next try."""


def read_key(file: str | os.PathLike[str] | None) -> str | None:
    """The API key: from a file, else from L2M_API_KEY; None without either.

    Raises:
        InputError: the file cannot be read or holds no key; the key is never part of the message.
    """
    name, key = "L2M_API_KEY", os.environ.get("L2M_API_KEY")
    if file is not None:
        name = f"api_key_file: {os.fspath(file)}"
        try:
            key = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}: {getattr(error, 'strerror', None) or 'not text'}") from None
        if not key:
            raise InputError(f"{name}: empty; expected a key")
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise InputError(f"{name}: holds spaces or characters that no key has; expected one line of ASCII")
    return key or None


def checked_url(url: str) -> str:
    """The base of a server's addresses, without a final / or /v1.

    Raises:
        InputError: no http(s) address, or one that holds a password or a query.
    """
    try:
        parts = urlsplit(url.strip())
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        sound = False
    if not sound:
        raise InputError(f"endpoint: {url[:80]!r}; expected an address such as http://127.0.0.1:8000")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            f"endpoint: {parts.scheme}://{parts.hostname}: holds a user, a password or a query, which would be logged; "
            "expected a bare address, with the key in L2M_API_KEY"
        )
    return re.sub(r"(/v1)?/*$", "", url.strip())


class Client:
    """Requests to servers that all serve the same model.

    Args:
        urls: their addresses.
        key: sent as a bearer token; never written or logged.
        concurrency: requests at a time, over all servers.
        timeout: seconds until a request counts as lost.
        retries: how often it is sent again.
    """

    def __init__(self, urls: Sequence[str], key: str | None, *, concurrency: int, timeout: float, retries: int) -> None:
        require("endpoint", "httpx2", "orjson")
        self._http = importlib.import_module("httpx2")
        self.urls = tuple(urls)
        self._key, self._retries = key, retries
        self._pool = DaemonPool(concurrency, "l2m-endpoint")
        self._stop = threading.Event()
        self._session = self._http.Client(
            timeout=self._http.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=self._http.Limits(max_connections=None, max_keepalive_connections=2 * concurrency),
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )
        weakref.finalize(self, _close, self._session, self._pool)

    def map(self, function: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """`function` of each item, `concurrency` at a time over all callers; the first error is raised, in order."""
        futures = [self._pool.submit(partial(function, item)) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def stop(self) -> None:
        """Raise `Stopped` in every thread that waits for an answer."""
        self._stop.set()

    def resume(self) -> None:
        """Take requests again after `stop`."""
        self._stop.clear()

    def get(self, path: str, url: str) -> Any | None:
        """The JSON at a path; None where the server answers with an error.

        Raises:
            ServerFault: nothing answers at the address.
        """
        return self._send("GET", [url], path, None, min(self._retries, 1))

    def post(self, path: str, body: Any, *, url: str | None = None) -> Any:
        """The JSON that answers a request.

        Args:
            url: of the server to ask. None: any; what begins alike goes to the same one while it answers, so that a cache of
                prefixes is of use.

        Raises:
            ServerFault: an answer that is an error, or none after all tries.
        """
        content = json.dumps(body, separators=(",", ":")).encode()
        home = crc32(content[:200]) % len(self.urls)
        places = [url] if url else [*self.urls[home:], *self.urls[:home]]
        return self._send("POST", places, path, content, self._retries)

    def _send(self, method: str, urls: Sequence[str], path: str, content: bytes | None, retries: int) -> Any:
        pause = _FIRST_PAUSE
        for attempt in range(retries + 1):
            if self._stop.is_set():
                raise Stopped
            url, wait = urls[attempt % len(urls)], None
            try:
                response = self._session.request(
                    method, url + path, content=content, headers={"Content-Type": "application/json"}
                )
                status, answer = response.status_code, response.content
                if status == 200:
                    value = _parsed(answer)
                    if value is not None:
                        return value
                    if method == "GET":
                        return None
                    told = f"an answer that is not JSON: {self._shown(answer)}"
                elif status not in _TRY_AGAIN:
                    if method == "GET":
                        return None
                    hint = "; give the server's key in L2M_API_KEY or --api-key-file" if status in (401, 403) else ""
                    raise Refused(f"{url}{path}: {status} {self._shown(answer)}{hint}")
                else:
                    told, wait = f"{status} {self._shown(answer)}", _seconds(response.headers.get("retry-after"))
            except self._http.HTTPError as error:
                told = self._redacted(" ".join(f"{type(error).__name__}: {error}".split())[:200])
            except (self._http.InvalidURL, UnicodeError) as error:
                raise InputError(f"endpoint: {url}: {self._redacted(str(error))}") from None
            # The other servers are asked at once; requests that failed together are spread, so as not to return together.
            if attempt < retries and (attempt + 1) % len(urls) == 0:
                self._stop.wait(min(_LONGEST_PAUSE, pause if wait is None else wait) * random.uniform(0.75, 1.25))
                pause *= 2
        tries = f"{retries + 1} tries" if retries else "one try"
        raise ServerFault(
            f"{urls[0]}: no answer to {path} in {tries} ({told}); once the server answers, run the same again: what is scored "
            "is kept"
        )

    def _shown(self, answer: bytes) -> str:
        """What an error's body says, in one line without the key."""
        text = answer[:2000].decode("utf-8", "replace")
        try:
            value = json.loads(answer)
            for name in ("error", "message", "detail"):
                if isinstance(value, dict) and value.get(name):
                    value = value[name]
            text = value if isinstance(value, str) else json.dumps(value)
        except ValueError:
            text = re.sub(r"<[^>]*>", " ", text)
        return self._redacted(" ".join(text.split())[:200])

    def _redacted(self, text: str) -> str:
        return text if self._key is None else text.replace(self._key, "***")


def _close(session: Any, pool: DaemonPool) -> None:
    pool.close()
    session.close()


def _parsed(answer: bytes) -> Any | None:
    """The JSON object or list in an answer; None where it is none, or was cut short.

    orjson takes a tenth of the time, which is that of a client whose server is fast, but knows no NaN.
    """
    from orjson import loads

    try:
        value = loads(answer)
    except ValueError:
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, (dict, list)) else None


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None
