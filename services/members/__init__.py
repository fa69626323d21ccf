"""Who the programme's members are, by which identities they are known, and what they agreed to."""
