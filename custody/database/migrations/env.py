"""Alembic's entry: runs the revisions on the connection that ``migrate`` opened."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="custody",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
