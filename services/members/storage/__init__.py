"""Members in PostgreSQL: rows to domain and back."""
