"""Receipts and credit notes: gapless numbers, immutable snapshots, HTML and PDF made of them."""
