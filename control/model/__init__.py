"""What there is: apps, revisions, replicas, templates, labels, and what can be wrong with them."""
