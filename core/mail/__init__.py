"""Mail: written down with what it tells of, sent by a loop."""
