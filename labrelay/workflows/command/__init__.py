"""One command as a workflow: its arguments, its task, and what its end means. It knows nothing of our runner."""
