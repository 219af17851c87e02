"""Model files on the Hugging Face Hub, or on a server that speaks like it.

huggingface_hub does the talking, so that HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the usual proxy
variables hold. It is imported when a file is fetched and not before, since it takes long. Its `hf_hub_download`
throws away what it has when it is stopped, so its parts are used here: the file's description, then `http_get`,
which goes on at any byte. This module must never know where models are kept.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from livethread_server.meter import Meter, meter, say
from livethread_server.model_errors import ModelError
from livethread_server.sources.base import Fetched

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_SHA256_DIGITS = 64


class HubFile(Struct, frozen=True):
    """A file of a repository. ``repo`` is ``owner/name``; ``file`` its path there; ``revision`` a branch, a tag or a
    commit, empty for what the main branch has."""

    repo: str
    file: str
    revision: str = ""

    def __str__(self) -> str:
        return f"hf:{self._at}/{self.file}"

    @property
    def place(self) -> str:
        """Below the folder of models."""
        return f"hf/{self._at.replace('/', '--')}/{self.file}"

    @property
    def _at(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo

    def fetch(self, folder: Path) -> Fetched:
        """Download the file into ``folder``; an earlier part of the same file is gone on with (RFC 9110, 14)."""
        from httpx2 import HTTPError
        from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

        try:
            return self._fetch(folder)
        except HFValidationError as error:
            raise ModelError(f"{self} does not name a repository of the hub: {str(error).rstrip('.')}.") from None
        except OfflineModeIsEnabled:
            raise ModelError(
                f"{self} cannot be fetched: HF_HUB_OFFLINE is set. Unset it, or give --model the path of a GGUF file."
            ) from None
        except HTTPError as error:
            raise ModelError(self._refusal(error)) from None
        except OSError as error:
            if error.errno:
                raise
            cause = str(error).partition("\n")[0].rstrip(".")
            raise ModelError(f"{self} cannot be fetched: {cause}. Try again later.") from None

    def _fetch(self, folder: Path) -> Fetched:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        about = get_hf_file_metadata(hf_hub_url(self.repo, self.file, revision=self.revision or None, endpoint=_hub()))
        if not about.commit_hash or not about.etag:
            raise ModelError(
                f"{self} cannot be fetched: {_hub() or 'the hub'} does not say which commit it has. "
                "Check HF_ENDPOINT and the proxy settings."
            )
        part = folder / f"{PurePosixPath(about.etag).name}.part"
        for other in set(folder.glob("*.part")) - {part}:
            other.unlink()  # of a file that the repository has replaced
        self._bring(about, about.commit_hash, part)
        sha256 = about.etag if len(about.etag) == _SHA256_DIGITS else ""
        return Fetched(part, f"hf:{self.repo}@{about.commit_hash}/{self.file}", sha256)

    def _bring(self, about: HfFileMetadata, commit: str, part: Path) -> None:
        """Fill ``part``, from the user's own cache of the hub (HF_HOME) where that has the file."""
        from huggingface_hub import hf_hub_url, try_to_load_from_cache
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        cached = try_to_load_from_cache(self.repo, self.file, revision=commit)
        if isinstance(cached, str):
            say(f"Copying {self.file} from {cached} …")
            shutil.copyfile(cached, part)
            return
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns with addresses that hold signatures
        with part.open("ab") as file, meter(f"Fetching {PurePosixPath(self.file).name}") as shown:
            held = file.tell()
            if about.size is not None and held > about.size:
                file.truncate(held := 0)
            http_get(
                hf_hub_url(self.repo, self.file, revision=commit, endpoint=_hub()),
                file,
                resume_size=held,
                headers=build_hf_headers(library_name="livethread"),
                expected_size=about.size,
                tqdm_class=_bar(shown),
            )

    def _refusal(self, error: Exception) -> str:
        from huggingface_hub import errors

        hub = _hub() or "https://huggingface.co"
        match error:
            case errors.GatedRepoError():
                return (
                    f"{self} cannot be fetched: {self.repo} is gated. Accept its licence at {hub}/{self.repo}, and put "
                    "a token of yours into HF_TOKEN."
                )
            case errors.RevisionNotFoundError():
                return f"{self.repo} has no revision {self.revision!r}. Check the name behind the @."
            case errors.RemoteEntryNotFoundError():
                return f"{self.repo} has no file {self.file!r}. Look at {hub}/{self.repo} for its files' names."
            case errors.RepositoryNotFoundError():
                return (
                    f"{hub} shows no repository {self.repo}: there is none, or it is private. Check the name, or put a "
                    "token that may read it into HF_TOKEN."
                )
            case errors.HfHubHTTPError() if error.response.status_code in (401, 403):
                return f"{hub} refuses {self} ({error.response.status_code}). Check the token in HF_TOKEN."
            case errors.HfHubHTTPError():
                return f"{self} cannot be fetched: {hub} answers {error.response.status_code}. Try again later."
        cause = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        return (
            f"{self} cannot be fetched: {hub} does not answer ({cause}). Check the network, HF_ENDPOINT and the proxy "
            "settings; what has come already is gone on with."
        )


def _hub() -> str | None:
    """The hub's address where the user set one; huggingface_hub itself reads the variable only once."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _bar(shown: Meter) -> Any:
    """What huggingface_hub wants for showing progress, a class like tqdm's, on a meter."""

    class Bar:
        def __init__(self, *, total: int | None = None, initial: int = 0, **_: object) -> None:
            self._done, self._total = initial, total or 0

        def update(self, count: int) -> None:
            self._done += count
            shown(self._done, self._total)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return Bar
