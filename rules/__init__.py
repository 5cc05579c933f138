"""Decide when: policies become recording and alerting rules, their tests, routes and runbooks.

The rooms, from the top; each needs only some of those below it:

    commands            to begin, build, check, test, compare and explain
    live                a live Prometheus beside a policy
    policy_schema       the form of a policy, for editors
    difference          what changes for people from one policy to another
    loading, checks     a policy read, and every fault in it pointed at
    build               from policies to files for Prometheus and Alertmanager
    outputs             one module a kind of file or of test
    resolve             a policy resolved once, for all outputs
    judgement           how a service's health is judged as a whole
    resolved            a policy with its conditions, limits and series resolved
    comparison          a comparison joined with its signal
    conditions          what can be asked of a signal: a threshold, a rise, a burn rate …
    signals             one module a signal: its unit and its PromQL
    requirements        which version of Prometheus a policy's names need
    promql, links       pieces of queries, and of the addresses in annotations
    policy              the model of a policy file
    presets             the series of well-known exporters and proxies
    language            conditions as people write them
    series              the series that a policy names: of requests, of machines, of the business
    builtin_policies    where the policies of the five sources are
"""
