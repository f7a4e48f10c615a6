"""What happened: the journal of changes and the history of labels."""
