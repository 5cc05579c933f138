"""Show: dashboards generated from policies, and what Grafana needs to find them."""
