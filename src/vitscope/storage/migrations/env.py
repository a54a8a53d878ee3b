"""Run by Alembic: migrates within the transaction that the caller has begun, so that it happens whole or not at all."""

from alembic import context

from vitscope.storage.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
