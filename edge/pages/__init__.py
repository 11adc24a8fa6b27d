"""What anyone may read about this service: pages without scripts, and the API's description."""
