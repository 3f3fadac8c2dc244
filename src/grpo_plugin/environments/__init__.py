"""Episodes of several turns: environments, their tools, and the tokens between the model's turns."""
