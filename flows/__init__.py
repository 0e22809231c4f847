"""The only place with @flow and @task, and the command line."""
