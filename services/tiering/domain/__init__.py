"""Pure decisions about tiers: no clock, no input or output, no gRPC, no SQL."""
