"""What every connection of a worker does with its socket: writing, pausing, asking what is owed."""
