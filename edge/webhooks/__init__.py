"""What others call when something happened with them: handed to core as it came."""
