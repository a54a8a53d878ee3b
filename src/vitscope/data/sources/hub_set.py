"""A set of the hub through the library `datasets`: which commit it is at, and its pictures written as files."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitscope.data.sources.folder import SPLIT_NAMES
from vitscope.data.sources.hub_columns import chosen
from vitscope.data.sources.hub_writer import HubWriter
from vitscope.data.sources.listed import write_list
from vitscope.data.sources.made import reason_of
from vitscope.errors import RequestError
from vitscope.text import count, shown, some

if TYPE_CHECKING:
    from vitscope.data.sources.hub import HubSource

TIMEOUT_S = 30.0
_BUSY = (408, 429)
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Unreachable(Exception):
    """The hub could not be asked; the text says why."""


def commit_on_hub(what: str, repository: str, revision: str | None) -> str:
    """The commit that a revision is at now. Raises `Unreachable`, and `RequestError` for what the hub does not have."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    try:
        commit = HfApi().dataset_info(repository, revision=revision, timeout=TIMEOUT_S).sha
    except RevisionNotFoundError:
        raise RequestError(f"{shown(what)}: the hub has no revision '{shown(revision)}' of it.") from None
    except HfHubHTTPError as error:
        if not _is_refusal(error):
            raise Unreachable(_unreachable(error)) from None
        raise RequestError(
            f"{shown(what)}: the hub gives out no data set of this name (it answers {error.response.status_code}). "
            "Look at its name; for one that is private or gated ask for access on its page and log in with 'hf auth "
            "login'."
        ) from None
    except Exception as error:  # whatever the hub's client or the network stack says
        raise Unreachable(_unreachable(error)) from None
    if not commit:
        raise Unreachable("the hub does not say which commit it is at")
    return commit


def commit_in_cache(source: HubSource, why: Unreachable) -> str:
    """The commit of the set that the library's own cache holds. Raises `RequestError` where it holds none."""
    from vitscope.data.sources.hub import not_had

    try:
        with _offline():
            return str(_builder(source, None).hash)
    except Exception:
        raise not_had(source, why) from None


def write(source: HubSource, commit: str, folder: Path, *, from_cache: bool) -> list[str]:
    """The pictures of a commit as files in `folder`, with their list; returns what to tell. Raises `RequestError`.

    `from_cache`: the hub cannot be reached, and is not asked again.
    """
    from vitscope.data.sources.hub import not_had

    with _telling(source), _offline() if from_cache else nullcontext():
        builder = _builder(source, commit)
        if builder.hash != commit:  # the library fell back on another commit, without a word of what was wrong
            if not from_cache:
                _builder(source, commit, cache=folder)  # where it has none it says what is
            raise not_had(source, f"its commit {commit[:12]} could not be had")
        builder.download_and_prepare()
        dataset: Any = builder.as_dataset()
        features = next(iter(dataset.values())).features
        columns = chosen(source.location, features, source.image, source.label)
        splits, notices = _splits(list(dataset))
        writer = HubWriter(folder, columns)
        for name, split in splits.items():
            writer.take(dataset[name], split)
        classes, listed = writer.finished()
    if not listed:
        raise RequestError(" ".join([f"{source.location}: no pictures with a class in it.", *writer.notices()]))
    write_list(folder, listed, classes)
    return [f"{source.location}: {text}" for text in [*columns.notices, *notices, *writer.notices()]]


def _builder(source: HubSource, commit: str | None, cache: Path | None = None) -> Any:
    """What reads the set: never code of its own, which the library does not run any more; nor a folder here."""
    import datasets
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        disable_progress_bars()
    builder = datasets.load_dataset_builder(
        f"hf://datasets/{source.repository}",
        source.config or None,
        revision=commit,
        cache_dir=None if cache is None else str(cache),
    )
    if builder.repo_id != source.repository:
        raise FileNotFoundError(f"'{source.repository}' is no data set of the hub")
    return builder


@contextmanager
def _offline() -> Iterator[None]:
    """The library looks into its cache at once, instead of trying the hub for half a minute."""
    from datasets import config

    before, config.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


def _splits(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Our split of each split of the set that is used, and what to tell of the others."""
    meant: dict[str, str] = {}
    for name in names:
        split = SPLIT_NAMES.get(name.lower(), "")
        if split and split not in meant.values():
            meant[name] = split
    if not meant:
        told = f"its splits {some(names, 10)} are taken together, to be divided anew." if len(names) > 1 else ""
        return dict.fromkeys(names, ""), [told] if told else []
    others = [name for name in names if name not in meant]
    return meant, [f"{count(len(others), 'split')} left out: {some(others, 10)}."] if others else []


@contextmanager
def _telling(source: HubSource) -> Iterator[None]:
    """Turns whatever the library raises into what a person can do about it. A fault of the disk passes."""
    from vitscope.data.sources.hub import not_had

    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        if _is_of_the_network(error):
            raise not_had(source, _unreachable(error)) from None
        raise RequestError(
            f"{source.location}: the library datasets cannot read it ({reason_of(error.__cause__ or error)}). Of "
            "several configurations one is chosen by config=NAME behind a colon. Sets that need code of their own are "
            "not supported: it is never run."
        ) from None


def _is_of_the_network(error: BaseException | None) -> bool:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return not _is_refusal(error)
        if isinstance(error, (ConnectionError, TimeoutError, LocalEntryNotFoundError)):
            return True
        if any(kind.__name__ == "TransportError" for kind in type(error).__mro__):  # of httpx or httpx2
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_refusal(error: Any) -> bool:
    """Whether the hub answered, and would answer so again."""
    return 400 <= error.response.status_code < 500 and error.response.status_code not in _BUSY


def _unreachable(error: Exception) -> str:
    return f"the hub could not be reached ({reason_of(error)})"
