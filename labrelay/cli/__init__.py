"""What can I type? One file a group of commands; everything heavy is imported inside the command."""
