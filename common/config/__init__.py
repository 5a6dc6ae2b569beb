"""Settings: what there is, where values come from, and the page that explains them."""
