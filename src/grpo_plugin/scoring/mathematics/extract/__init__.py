"""Finding the final answer of a response."""
