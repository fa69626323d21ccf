"""Tills and care agents under Locust."""
