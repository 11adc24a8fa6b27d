"""What edges need to admit requests by themselves: grants, leases, slices of limits, changes."""
