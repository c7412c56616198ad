"""How long a board takes to connect, operation by operation: sampled, predicted, explained, learned."""
