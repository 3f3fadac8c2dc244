"""Reading an answer: characters, tokens, grammar, words."""
