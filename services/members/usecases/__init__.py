"""What can be done with members: one verb, one function, one transaction."""
