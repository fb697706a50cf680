"""Alembic's migrations; `versions/` holds one file per step."""
