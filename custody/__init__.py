"""Custody's core: what is decided and done with customers' information; it knows no Prefect."""
