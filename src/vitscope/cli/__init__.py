"""The command line: thin; each file a command or a group of commands, heavy imports inside the command."""
