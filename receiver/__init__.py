"""Act: take Alertmanager's webhook and run the incident.

The rooms, from the top; each needs only some of those below it:

    commands            to run it, and to talk to one that runs
    app, sign_in        the server; who has signed in
    pages, api          what people see, what programs ask
    report              the report on a deployment, as JSON, Markdown and a page
    slot_swap           a version put into a slot, proven, swapped and watched
    assessment          how healthy a deployment is: phase, score, confidence, anomalies, success
    verification        deployments from gate to verdict: requirements, the watcher, and what a verdict does
    announcements       deployments that others announce: CDEvents, GitHub, Argo CD, Flux
    intake              webhooks: understood, committed with all that follows, then answered
    metrics, stored_metrics   what the receiver counts of itself, and what it reads from the store to show
    lifecycle           opening, response, resolution, release, probable cause, checklist, flapping, durations
    actions             rollback, scale, run, investigate, posting, log, each with its brakes
    escalation          who is on call, policy, timers, steps, reminders
    notify              a message composed, queued and delivered; digests, uncertain deliveries
    suppression         maintenance, silences, and what they hold back
    upstream, retention Alertmanager asked: what was lost, what is silenced; what is old goes
    events              what happened, as CloudEvents: the outbox, webhooks, Kafka
    deployments         the ledger: what ran before what
    database_migration  a service's database migrated: backup, one transaction, validation
    executors           plans carried out: commands, and CI over HTTP
    incidents           what an alert does to them, decided as a value; store, alerts, timeline
    context             what those who act work with
    channels            one module a channel
    config_schema       the config's schema, for editors and the reference
    settings            one module a section of the config; imports nothing that runs
    rendering           a story in words
    jobs                the durable queue, and the worker
    screens             screens that show the wall by a link of their own
    client              the API, as the commands ask it
    alert, messages     an alert and a message, as values
    story               an incident as templates see it
    store               SQLite or PostgreSQL, group commit, migrations
"""
