"""Pure code that web and tasks share: how values are written for people."""
