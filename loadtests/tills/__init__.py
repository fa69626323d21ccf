"""Tills, members' apps and care agents under Locust."""
