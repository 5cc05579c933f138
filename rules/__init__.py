"""Decide when: policies become recording and alerting rules, their tests, routes and runbooks."""
