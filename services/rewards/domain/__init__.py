"""Rewards, vouchers and codes: pure decisions."""
