from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from vitscope.storage import migrations, schema
from vitscope.storage.database import Database


def test_migrated_schema_is_the_declared_one(tmp_path: Path):
    with Database.at(tmp_path / "v.db").reading() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []


def test_head_is_the_newest_migration():
    script = ScriptDirectory.from_config(migrations.config())
    assert script.get_heads() == [schema.HEAD]
    assert all(r.revision.isdigit() and len(r.revision) == 4 for r in script.walk_revisions())


def test_all_tables_begin_with_the_prefix(tmp_path: Path):
    Database.at(tmp_path / "v.db").close()
    with sqlite3.connect(tmp_path / "v.db") as plain:
        names = {name for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = {"vs_runs", "vs_attempts", "vs_metrics", "vs_events", "vs_datasets", "vs_jobs", "vs_alembic_version"}
    assert names - {"sqlite_sequence"} == tables


def test_lives_beside_the_tables_of_others(tmp_path: Path):
    with sqlite3.connect(tmp_path / "v.db") as plain:
        plain.execute("CREATE TABLE alembic_version (version_num)")
        plain.execute("INSERT INTO alembic_version VALUES ('theirs')")
    Database.at(tmp_path / "v.db").close()
    with sqlite3.connect(tmp_path / "v.db") as plain:
        assert plain.execute("SELECT * FROM alembic_version").fetchall() == [("theirs",)]


def test_migration_that_fails_half_way_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = migrations.upgrade

    def fails_at_its_end(connection: object) -> None:
        real(connection)  # type: ignore[arg-type]
        raise OSError("the power is gone")

    monkeypatch.setattr(migrations, "upgrade", fails_at_its_end)
    with pytest.raises(OSError, match="power"):
        Database.at(tmp_path / "v.db")
    with sqlite3.connect(tmp_path / "v.db") as plain:
        assert plain.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    monkeypatch.undo()
    Database.at(tmp_path / "v.db")
