"""The supervisor: starts workers, gives them the table, answers the admin port, hands over."""
