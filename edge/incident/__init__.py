"""`1api incident`: what the edges' folders on this machine and core know of one request."""
