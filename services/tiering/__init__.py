"""Which tier members are in, by which rules, and what other rules would change."""
