"""The catalogue of rewards, what members get of it for points, and their vouchers."""
