"""What may be believed: seal, ledger, controls, statistics, judge."""
