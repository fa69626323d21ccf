"""Pure decisions about members: no clock, no input or output, no gRPC, no SQL."""
