"""`python -m loadtests.bench`: the platform's speed, side by side with what it is compared to."""
