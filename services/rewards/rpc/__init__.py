"""The contract over gRPC: thin."""
