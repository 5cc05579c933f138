"""Show: dashboards generated from policies, and what Grafana needs to find them.

The rooms, from the top; each needs only some of those below it:

    commands            `deploywatch rules`, with the dashboards beside the rules
    dashboards          every dashboard of a policy, and the shared ones
    deployment, business, service, self_dashboard, overview   one module a dashboard
    health_panels, signals   the rows that several of them have
    frame, panels       a dashboard, and what stands on it
    visualizations, queries   how a panel looks, and what it asks
"""
