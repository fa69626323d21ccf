"""Rows of the catalogue, the vouchers and the people."""
