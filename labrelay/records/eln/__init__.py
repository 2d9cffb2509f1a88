"""Electronic lab notebooks: what an entry should say, what it says, and one file for each notebook we can speak to."""
