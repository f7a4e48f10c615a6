"""The things there are (apps, revisions, replicas, templates, labels), and what can be wrong."""
