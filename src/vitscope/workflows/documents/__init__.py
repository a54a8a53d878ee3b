"""The documents that `Views` gives, a file a group: plain data made of a model's numbers, ready to be sent."""
