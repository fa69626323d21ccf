"""MembersService over gRPC: thin."""
