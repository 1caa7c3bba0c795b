"""Pure code that web and tasks share: how things are written for people."""
