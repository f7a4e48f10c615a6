"""The supervisor: starts workers, tells them the table, answers the admin port, hands over."""
