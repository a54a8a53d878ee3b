"""What a person can ask for, one file each; the command line, Python and every other face call these."""
