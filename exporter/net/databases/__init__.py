"""What PostgreSQL and Redis tell of themselves, and how few connections it takes to ask."""
