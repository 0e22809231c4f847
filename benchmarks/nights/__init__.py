"""Planted and honest nights: one real night per seed, spoiled copies of it, and what the judge says of each."""
