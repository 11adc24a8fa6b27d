"""What others can check: receipts of charges, signed roots over wallets, the daily proof."""
