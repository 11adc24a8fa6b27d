"""gRPC between our processes: who calls, what may be called, and how errors travel."""
