"""The contract between a night and its trainers: standard library only."""

__version__ = "0.1.0"
