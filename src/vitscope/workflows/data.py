"""Data sets: prepare one for training, import, check, list and show them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vitscope.config import DataConfig
from vitscope.data import checks, split
from vitscope.data.cleaning import LeftOut, cleaned
from vitscope.data.manifest import SPLITS, Manifest, sample_id
from vitscope.data.sources import SOURCES, ImportedSource, imported, open_source
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.kept import index
from vitscope.data.sources.table_writer import check_new, write_table
from vitscope.errors import RequestError, closest
from vitscope.text import count, shown, some

if TYPE_CHECKING:
    from vitscope.storage.datasets import DatasetRow
    from vitscope.storage.workspace import Workspace


INDEXES = "indexes"  # in the workspace's cache


class Prepared(NamedTuple):
    """A manifest, and what a person should be told about it: a sentence each."""

    manifest: Manifest
    notices: list[str]


class ForTraining(NamedTuple):
    """A manifest with every sample in a split; what is odd about it, and what was decided for it: a sentence each."""

    manifest: Manifest
    warnings: list[str]
    notices: list[str]


# ---------------------------------------------------------------------------------------------- for training


def prepare(data: DataConfig, workspace: Workspace) -> ForTraining:
    """One manifest of the source and of `val` and `test` where they are given: checked, and every sample in a split.

    Class names and their order are those of the source; `val` and `test` are mapped onto them by name and take the
    place of what the source itself gives for that split. Raises `RequestError` for what would break training.
    """
    if data.source is None:
        raise RequestError(
            "No data given. Name a folder with one folder a class, a table, an archive, 'torchvision:NAME', "
            "'hf:OWNER/NAME', 'digits', 'shapes', or an imported data set."
        )
    place = workspace.cache_folder / INDEXES if workspace.root.is_dir() else None
    main, warnings = read(data.source, workspace, place)
    notices: list[str] = []
    for name, text in (("val", data.val), ("test", data.test)):
        if text is not None:
            part, told = read_split(text, name, main.classes, workspace, f"--{name}", place)
            others = replace(main, table=main.table.filter(pc.field("split") != name))
            if number := len(main) - len(others):
                notices.append(f"--{name} takes the place of the {count(number, f'{name} image')} of '{main.source}'.")
            main = _join(others, part, name, text)
            warnings += told
    main, told = checks.check_trainable(main)
    main, sentence = split.assign(main, data.val_fraction, data.test_fraction, data.split_seed)
    notices.append(sentence)
    if data.per_class is not None:
        main, sentence = split.few(main, data.per_class, data.split_seed)
        notices.append(sentence)
    return ForTraining(main, [*warnings, *told], notices)


def read(text: str, workspace: Workspace, place: Path | None = None) -> Prepared:
    """The manifest of any source as it is, neither checked nor split. Raises `RequestError`.

    With `place` the index of a large folder is kept there, and taken from there; without it every file is looked at.
    """
    source = open_source(text, workspace)
    if isinstance(source, ImportedSource):
        manifest, notices = source.current(place)
    else:
        manifest, notices = index(source, place)
    if not isinstance(source, FolderSource) and Path(text).is_dir():
        notices = [f"'{text}' means the data set of that name; for the folder here write ./{text}.", *notices]
    return Prepared(manifest, notices)


def read_split(
    text: str,
    name: str,
    classes: Sequence[str],
    workspace: Workspace,
    option: str = "--data",
    place: Path | None = None,
) -> Prepared:
    """The samples of a source as the split `name`, with the labels of `classes` (a data set's or a model's) by name.

    A source with splits gives the one of that name, any other source all that it has. `option` is what errors call it.
    Raises `RequestError` for classes that `classes` does not hold.
    """
    manifest, notices = read(text, workspace, place)
    splits = Counter(manifest.table["split"].to_pylist())
    if set(splits) != {""}:
        if name not in splits:
            instead = (
                f"Give the folder of class folders itself, such as {shown(text)}/{sorted(splits)[0]}."
                if Path(text).is_dir()
                else "Give one that has it, or one without splits, which is taken whole."
            )
            raise RequestError(
                f"{option} {shown(text)}: it is split into {some(sorted(s for s in splits if s))} and has no {name} "
                f"split. {instead}"
            )
        manifest = replace(manifest, table=manifest.table.filter(pc.field("split") == name))
    used = set(manifest.table["label"].to_pylist())
    if strangers := [manifest.classes[label] for label in sorted(used) if manifest.classes[label] not in classes]:
        raise RequestError(
            f"{option} {shown(text)}: {count(len(strangers), 'class', 'classes')} in it that the training data do not "
            f"have: {some(strangers, 10)}. Class names must be the same, upper and lower case too. "
            f"{closest(strangers[0], classes)}"
        )
    label_of = {class_name: label for label, class_name in enumerate(classes)}
    labels = [label_of[manifest.classes[label]] for label in manifest.table["label"].to_pylist()]
    ids = [sample_id(manifest.source, name, old) for old in manifest.table["sample_id"].to_pylist()]
    manifest = replace(manifest, classes=tuple(classes)).with_column("label", labels).with_column("sample_id", ids)
    return Prepared(manifest.with_column("split", [name] * len(manifest)), notices)


def _join(main: Manifest, part: Manifest, name: str, text: str) -> Manifest:
    """Both as one. Raises `RequestError` when files would be in two splits."""
    if shared := set(main.table["path"].to_pylist()) & set(part.table["path"].to_pylist()):
        raise RequestError(
            f"--{name} {shown(text)}: {count(len(shared), 'image')} of it in another split too "
            f"({some(sorted(shared))}), so what is measured would mean nothing. Leave --{name} out to have a share "
            "held out, or give other images."
        )
    table = pa.concat_tables([main.table, part.table]).combine_chunks()
    return replace(main, table=table, kept=main.kept + part.kept)


# ---------------------------------------------------------------------------------------------- import, list, show


class Imported(NamedTuple):
    row: DatasetRow
    notices: list[str]


def import_dataset(text: str, name: str, workspace: Workspace, replace_existing: bool = False) -> Imported:
    """Keep the source's manifest under `name`; the images stay where they are.

    Raises `RequestError` for a name that is not allowed or taken, and where there is nothing to import.
    """
    _check_name(name, workspace, replace_existing)
    source = open_source(text, workspace)
    records, classes, notices = source.scan()
    original = source.original.location if isinstance(source, ImportedSource) else source.location
    manifest = Manifest.from_records(records, classes, name)
    return Imported(keep(manifest, name, original, workspace), notices)


def _check_name(name: str, workspace: Workspace, replace_existing: bool) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise RequestError(
            f"--name {shown(name[:120])}: a data set's name is 1 to 100 letters (a–z), digits, '.', '_' or '-', and "
            "begins with a letter or digit."
        )
    if name.lower() in SOURCES:
        raise RequestError(f"--name {name}: a data set that comes with the program has this name. Choose another.")
    taken = {known.lower(): row for known, row in imported(workspace).items()}
    if (row := taken.get(name.lower())) is not None and not (replace_existing and row.name == name):
        raise RequestError(
            f"--name {name}: '{row.name}' is already imported (from {shown(row.source)}, {count(row.count, 'image')}). "
            "Choose another name, or take its place with --replace."
        )


def keep(manifest: Manifest, name: str, original: str, workspace: Workspace) -> DatasetRow:
    """Write a manifest and its row, whatever was there under the name. Raises `RequestError` where that fails."""
    from vitscope.storage import datasets

    folder = workspace.datasets_folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest.save(folder / "manifest.parquet", within=workspace.root)
    except OSError as error:
        raise RequestError(f"{folder}: the manifest could not be written ({error.strerror or error}).") from None
    row = datasets.DatasetRow(
        name=name,
        source=original,
        fingerprint=manifest.fingerprint,
        count=len(manifest),
        classes=manifest.classes,
        created_at=time.time(),
        manifest=str((folder / "manifest.parquet").relative_to(workspace.root)),
    )
    datasets.put(workspace.database, row)
    return row


def list_(workspace: Workspace) -> list[DatasetRow]:
    """The imported data sets, by name."""
    return list(imported(workspace).values())


@dataclass(frozen=True)
class ClassCount:
    """Images of a class, over all and by split ("" where the source gives none)."""

    name: str
    count: int
    splits: dict[str, int]


@dataclass(frozen=True)
class Description:
    """What `show` tells of a data set. `checked` images have been decoded, `bad` of them could not be."""

    name: str
    source: str
    imported_at: float | None
    fingerprint: str
    count: int
    splits: dict[str, int]
    classes: list[ClassCount]
    checked: int
    bad: int
    notices: list[str]


def show(text: str, workspace: Workspace) -> Description:
    """What there is in an imported data set or any source."""
    manifest, notices = read(text, workspace)
    row = imported(workspace).get(text)
    table = manifest.table
    by_class: list[Counter[str]] = [Counter() for _ in manifest.classes]
    for label, name in zip(table["label"].to_pylist(), table["split"].to_pylist(), strict=True):
        by_class[label][name] += 1
    return Description(
        name=manifest.source,
        source=row.source if row else open_source(text, workspace).location,
        imported_at=row.created_at if row else None,
        fingerprint=manifest.fingerprint,
        count=len(manifest),
        splits=split_counts(manifest),
        classes=[ClassCount(n, c.total(), dict(c)) for n, c in zip(manifest.classes, by_class, strict=True)],
        checked=table.filter(pc.field("width").is_valid() | pc.field("problem").is_valid()).num_rows,
        bad=table.filter(pc.field("problem").is_valid()).num_rows,
        notices=notices,
    )


def split_counts(manifest: Manifest) -> dict[str, int]:
    """Images by split, in the order train, val, test; "" where the source gives none."""
    found = Counter(manifest.table["split"].to_pylist())
    return {name: found[name] for name in (*SPLITS, "") if found[name]}


# ---------------------------------------------------------------------------------------------- check


@dataclass(frozen=True)
class BadFile:
    path: str
    reason: str


@dataclass(frozen=True)
class Written:
    """The table of what may be used: how many images are in it, and the files that are not, with why."""

    file: Path
    count: int
    left_out: list[LeftOut]


@dataclass(frozen=True)
class CheckReport:
    """What is wrong with a data set's files. `refusal` says why training would not start, "" where it would."""

    name: str
    count: int
    splits: dict[str, int]
    bad: list[BadFile]
    copies: list[checks.Copies]
    animated: list[str]
    odd_sizes: list[checks.OddSize]
    refusal: str
    notices: list[str]
    written: Written | None = None

    @property
    def leaks(self) -> list[checks.Copies]:
        """The same picture in more than one split."""
        return [found for found in self.copies if found.is_leak]

    @property
    def contradictions(self) -> list[checks.Copies]:
        """The same picture in more than one class."""
        return [found for found in self.copies if found.is_contradiction]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong: copies inside a split, several frames and odd sizes are told, and no fault."""
        return not (self.bad or self.leaks or self.contradictions or self.refusal)


def check(
    text: str, workspace: Workspace, progress: checks.Progress | None = None, write: Path | None = None
) -> CheckReport:
    """Decode every image of a source. For an imported one what is found is kept, and training leaves bad ones out.

    `write`: a new table, a source itself, of what is left without bad files and copies (`cleaning.py`).
    """
    if write is not None:
        check_new(write)  # before minutes of decoding
    manifest, notices = read(text, workspace)
    manifest = checks.inspect_images(manifest, progress)
    if (row := imported(workspace).get(text)) is not None:
        keep(manifest, row.name, row.source, workspace)
    paths, problems = (manifest.table[c].to_pylist() for c in ("path", "problem"))
    good = replace(manifest, table=manifest.table.filter(pc.field("problem").is_null()))
    refusal, told = "", []
    try:
        _, told = checks.check_trainable(good)
    except RequestError as error:
        refusal = str(error)
    written = None
    if write is not None:
        clean, left_out = cleaned(manifest)
        write_table(clean, write)
        written = Written(write, len(clean), left_out)
    return CheckReport(
        name=manifest.source,
        count=len(manifest),
        splits=split_counts(manifest),
        bad=[BadFile(path, problem) for path, problem in zip(paths, problems, strict=True) if problem is not None],
        copies=checks.copies(manifest),
        animated=checks.animated(manifest),
        odd_sizes=checks.odd_sizes(manifest),
        refusal=refusal,
        notices=[*notices, *told],
        written=written,
    )
