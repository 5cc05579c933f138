"""How transactions run: SQLite and PostgreSQL, several writes in one commit, reads in one trip, one owner of a file."""
