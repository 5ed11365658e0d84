"""The acts: one unit of work each, effect and ledger entry in one transaction; each returns a receipt."""
