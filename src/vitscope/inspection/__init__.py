"""Numbers about a model's inside: attention, tokens, fully connected layers, structure. Nothing here draws or reads."""
