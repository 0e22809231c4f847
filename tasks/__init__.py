"""One job each, no Prefect inside."""
