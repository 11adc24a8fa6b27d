"""Who may send a request, of what model, in which lane, at which price, on which credit."""
