"""`make bench`: the gateway beside nginx and beside no gateway, on one core, in one run."""
