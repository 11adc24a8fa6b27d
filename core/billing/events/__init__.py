"""What the provider tells us: an inbox, a sweep of what never came, and its balance."""
