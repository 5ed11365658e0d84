"""How Prefect performs a step: retries, limits, artifacts, and the run as evidence."""
