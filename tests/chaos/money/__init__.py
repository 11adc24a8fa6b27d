"""Core is killed while customers buy, use, get back and dispute credit; then the books are read."""
