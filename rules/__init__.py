"""Decide when: policies become recording and alerting rules, their tests, routes and runbooks.

The rooms, from the top; each needs only some of those below it:

    commands, build     from policy files to files for Prometheus and Alertmanager
    loading, checks     a policy read, and every fault in it pointed at
    outputs             one module a kind of file or of test
    judgement           how a service's health is judged as a whole
    conditions          what can be asked of a signal: a threshold, a rise, a burn rate …
    signals             one module a signal: its unit and its PromQL
    policy              the model of a policy file
    language            conditions as people write them
"""
