"""AWS on one machine: a server that answers as HealthOmics does and really executes what it is asked to run."""
