"""What stands between edge and core in tests: a wire and a messenger that can be told to fail."""
