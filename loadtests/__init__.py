"""Load and speed: tills under Locust, and the benchmark."""
