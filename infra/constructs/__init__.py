"""One construct per capability; ``infra.endpoint.ModelEndpoint`` composes them."""
