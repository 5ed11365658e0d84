"""The embedded default: a private PostgreSQL, Prefect server and worker below CUSTODY_HOME."""
