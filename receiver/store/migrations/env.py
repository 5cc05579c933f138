"""Alembic's entry: migrations run on the connection that the store hands over, inside its transaction."""

from alembic import context

from deploywatch.receiver.store.columns import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
