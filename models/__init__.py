"""What trains: data, encoders, rankers, candidate pools, and their trainers. Never imports Prefect."""
