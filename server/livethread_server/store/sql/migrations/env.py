"""What Alembic runs the steps in ``versions`` with. It is loaded by `upgrading`, on whose connection it works.

A step must never import the tables: it says how they were when it was written. On SQLite `batch_alter_table` makes a
table anew and drops the old one, which takes along the rows that refer to it: foreign keys are on.
"""

from __future__ import annotations

from alembic import context

# All steps are one transaction, begun by who gave the connection: on SQLite too, the way it is opened here.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
