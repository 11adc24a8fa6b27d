"""The catalogue: public models, lanes, routes, upstreams, and prices that never change."""
