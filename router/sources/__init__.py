"""Where tables come from: a routes file, a control plane, or containers' labels."""
