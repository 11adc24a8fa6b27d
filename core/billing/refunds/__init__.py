"""Refunds: asked for by customers and approved by finance, or made at the payment provider."""
