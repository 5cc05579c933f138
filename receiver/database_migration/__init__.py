"""A guarded migration of a service's database: backup, one transaction, validation inside it, commit; else roll back.

Source: 004, database migration rollback. Unlike there, nothing is restored by itself: that would lose what was written
since; the command for it is printed.
"""
