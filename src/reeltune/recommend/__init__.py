"""Films for somebody: found by title, chosen by filters, ordered by P(Yes), and why."""
