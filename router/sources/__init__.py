"""Where tables come from: a file, a control plane, containers' labels."""
