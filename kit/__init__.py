"""What every process needs: settings, clock, ids, money, errors, logs, gRPC, shared arithmetic."""
