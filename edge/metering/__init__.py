"""The edge's side of metering: a durable spool of what happened, shipped to core exactly once."""
