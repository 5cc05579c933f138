"""Act: take Alertmanager's webhook and run the incident.

The rooms, from the top; each needs only some of those below it:

    commands            to run it, and to talk to one that runs
    app, pages, api     the server; what people see, what programs ask
    intake              webhooks: understood, committed with all that follows, then answered
    people              who must know and act by when, and how an incident ends
    actions             rollback, scale, tell, escalate …, each with its brakes
    held                maintenance and silences: what has to wait
    deployments         the ledger: what ran before what
    upstream            Alertmanager asked: what was lost, what is silenced
    incidents           what an alert does to them, decided as a value; and their books
    channels, rendering Slack, PagerDuty, email, webhook; a story in words
    jobs, worker        the durable queue, and who works on it
    oncall, strategy    whose turn it is; from an alert to its severity and plan
    store               SQLite or PostgreSQL, one transaction a function
"""
