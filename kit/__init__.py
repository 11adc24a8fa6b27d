"""What every process needs: settings, clock, ids, money, errors, logging, gRPC factories, shared arithmetic."""
