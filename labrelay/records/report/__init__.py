"""What would a person rather look at than logs? A page a result, a page an experiment, and their figures."""
