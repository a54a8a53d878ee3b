"""`hf:OWNER/NAME`: a data set of the Hugging Face hub, its pictures kept as files, byte for byte as the set holds them.

Which revision is meant is asked of the hub each time, so that a set that has changed there is another one here. Without
a network the revision that was had last is used, and told. Code of a set is never run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from vitscope.data.sources.listed import ListedSource
from vitscope.data.sources.made import MadeSource, Opened, gone, is_whole, made_again, make, told
from vitscope.data.sources.options import parsed
from vitscope.errors import RequestError
from vitscope.storage.artifacts import write_json
from vitscope.text import shown

if TYPE_CHECKING:
    from vitscope.data.manifest import Manifest
    from vitscope.storage.workspace import Workspace

PREFIX = "hf"
EXAMPLE = "hf:OWNER/NAME:config=plain,image=img,label=fine_label,revision=main"
LONGEST = 200  # characters of a folder's name, of which a file system takes 255 bytes
_REPOSITORY = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Revision(NamedTuple):
    """A commit of a set; what to tell where the hub could not be asked for it."""

    commit: str
    notices: list[str]


@dataclass(frozen=True)
class HubSource(MadeSource):
    """The data set `repository`; the columns and the configuration are found where they are not named."""

    repository: str
    config: str = ""
    image: str = ""
    label: str = ""
    revision: str = ""  # a branch, a tag or a commit; "": the main branch

    @classmethod
    def of(cls, workspace: Workspace, text: str) -> HubSource:
        """As `OWNER/NAME:config=…,image=…` says. Raises `RequestError` for what is no name or no option."""
        repository, colon, options = text.partition(":")
        if not _REPOSITORY.fullmatch(repository):
            raise RequestError(f"{PREFIX}:{shown(text)}: no name of a data set of the hub. Write it as {EXAMPLE}.")
        given = {}
        if colon:
            given = parsed(f"{PREFIX}:{repository}", options, ("config", "image", "label", "revision"), EXAMPLE)
        if bad := [name for name, value in given.items() if not value or shown(value) != value]:
            raise RequestError(f"{PREFIX}:{shown(text)}: '{bad[0]}' has no value that is text. Write it as {EXAMPLE}.")
        return cls(workspace, repository, **given)

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2]

    @property
    def location(self) -> str:
        return f"{PREFIX}:{self._text(self.revision)}"

    @property
    def place(self) -> Path:
        return place_in(self.workspace)

    def opened(self) -> Opened:
        folder = self.folder()
        return Opened(ListedSource(folder, self.name), [*self.meant.notices, *told(folder)])

    @cached_property
    def meant(self) -> Revision:
        """The commit that is meant, asked once. Raises `RequestError` where neither the hub nor anything here knows."""
        if _COMMIT.fullmatch(self.revision):
            return Revision(self.revision, [])
        check_datasets(self.location)
        from vitscope.data.sources.hub_set import Unreachable, commit_in_cache, commit_on_hub

        memory = self.place / f"{hashlib.blake2b(self.location.encode(), digest_size=16).hexdigest()}.json"
        try:
            commit = commit_on_hub(self.location, self.repository, self.revision or None)
        except Unreachable as error:
            with suppress(OSError, ValueError, KeyError):
                known = json.loads(memory.read_text(encoding="utf-8"))
                asked = time.strftime("%Y-%m-%d", time.localtime(known["at"]))
                return Revision(known["commit"], [f"{self.location}: {error}; used as it was on {asked}."])
            if not self.revision:
                commit = commit_in_cache(self, error)
                return Revision(commit, [f"{self.location}: {error}; used as its cache here holds it ({commit[:12]})."])
            raise not_had(self, error) from None
        with suppress(OSError):  # a full or a read-only disk: without a network it is not remembered
            self.place.mkdir(parents=True, exist_ok=True)
            write_json(memory, {"source": self.location, "commit": commit, "at": time.time()})
        return Revision(commit, [])

    def folder(self) -> Path:
        pinned = self._text(self.meant.commit)
        name = quote(pinned.replace("/", "--", self.repository.count("/")).replace(":", ",", 1), safe="=,")
        if len(name) > LONGEST:
            raise RequestError(f"{shown(self.location)}: the names in it are too long together.")
        folder = self.place / name
        if not is_whole(folder):
            check_datasets(self.location)
        try:
            make(folder, f"{PREFIX}:{pinned}", self._fill)
        except OSError as error:
            why = shown(error.strerror or error)
            raise RequestError(f"{self.location}: could not be written to {shown(folder)} ({why}).") from None
        return folder

    def _fill(self, new: Path) -> list[str]:
        from vitscope.data.sources.hub_set import write

        return write(self, self.meant.commit, new, from_cache=bool(self.meant.notices))

    def _text(self, revision: str) -> str:
        values = {"config": self.config, "image": self.image, "label": self.label, "revision": revision}
        options = ",".join(f"{name}={value}" for name, value in values.items() if value)
        return f"{self.repository}:{options}" if options else self.repository


def place_in(workspace: Workspace) -> Path:
    """Where a workspace keeps what it took out of sets of the hub."""
    return workspace.cache_folder.resolve() / "hub"


def restore(manifest: Manifest, workspace: Workspace) -> list[RequestError]:
    """Make again what a manifest needs and was discarded, if it can be had; else why not."""
    sources = []
    for name in gone(manifest, place_in(workspace)):
        repository, _, options = unquote(name).partition(",")  # the name of a folder says all that its making needs
        with suppress(RequestError):  # a name that is none of ours
            sources.append(HubSource.of(workspace, f"{repository.replace('--', '/')}:{options}"))
    return made_again(sources)


def check_datasets(what: str) -> None:
    """Raise `RequestError` with the command that installs `datasets` where it is missing."""
    if find_spec("datasets") is None:
        raise RequestError(
            f"{shown(what)}: sets of the hub need the package datasets, which is not installed. Run: pip install "
            "'vitscope[hub]'"
        )


def not_had(source: HubSource, why: object) -> RequestError:
    """The set can be had neither from the hub nor from a cache."""
    from datasets.config import HF_CACHE_HOME

    endpoint = os.environ.get("HF_ENDPOINT", "not set")
    return RequestError(
        f"{source.location}: {shown(why)}. It is looked for on the hub (HF_ENDPOINT is {shown(endpoint)}; set it to "
        f"use a mirror) and in the cache {shown(HF_CACHE_HOME)} (HF_HOME), which holds none of it. To bring it by "
        f"hand, run 'vitscope data show {source.location}' where there is a network and copy that workspace's "
        f"cache/hub to {shown(source.place)}."
    )
