"""A degraded picture in, a better one out: cards, registry, pipeline and networks."""
