"""Background work: actors, saga, relay, clock. Only this code calls gateways and mail servers."""
