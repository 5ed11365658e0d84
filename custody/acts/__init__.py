"""The acts: one unit of work each, effect and ledger entry together; each returns a receipt."""
