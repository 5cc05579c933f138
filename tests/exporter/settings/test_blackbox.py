"""A blackbox.yml: its modules in our words, and those that are refused alone, with line, reason and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.probes.dns import DnsSettings
from deploywatch.exporter.probes.grpc import GrpcSettings
from deploywatch.exporter.probes.http import HttpSettings
from deploywatch.exporter.probes.icmp import IcmpSettings
from deploywatch.exporter.probes.tcp import TcpSettings
from deploywatch.exporter.settings.blackbox import PROBERS

Write = Callable[[str], Path]

GOOD = "  good: {prober: http}\n"


def load(write: Write, modules: str) -> ExporterSettings:
    return config.load(write(f"modules:\n{GOOD}{modules}"), variables={})


def one(write: Write, text: str) -> object:
    """The probe of the only other module; it has to be taken."""
    settings = load(write, f"  m: {text}\n")
    assert settings.refused == {}
    return settings.modules["m"].probe


def test_http_is_read_with_all_that_it_expects(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush\n")
    (tmp_path / "body.json").write_text('{"a": 1}\n')
    probe = one(
        write,
        """
    prober: http
    timeout: 1m30s
    targets: [x.example]
    http:
      valid_status_codes: []
      valid_http_versions: ["HTTP/1.1", "HTTP/2.0", "HTTP/2"]
      method: POST
      headers: {Origin: example.com}
      http_headers: {X-Api-Key: {values: [a], files: [token]}, Accept: {values: [b, c]}}
      body_file: body.json
      body_size_limit: 10MB
      follow_redirects: no
      fail_if_ssl: false
      fail_if_not_ssl: yes
      fail_if_body_matches_regexp: [down, lost]
      fail_if_body_not_matches_regexp: [up]
      fail_if_header_matches: [{header: Set-Cookie, allow_missing: true, regexp: '.*'}]
      fail_if_header_not_matches: [{header: Access-Control-Allow-Origin, regexp: '(\\*|example\\.com)'}]
      tls_config: {insecure_skip_verify: true, min_version: TLS11, max_version: TLS13}
      authorization: {type: Token, credentials_file: token}
      preferred_ip_protocol: ip4
      ip_protocol_fallback: false
""",
    )
    assert isinstance(probe, HttpSettings)
    expect = probe.expect
    assert (probe.method, probe.redirects, probe.body, probe.enable_http2) == ("POST", 0, '{"a": 1}\n', True)
    headers = {"Origin": "example.com", "X-Api-Key": "hush", "Accept": "c", "Authorization": "Token hush"}
    assert probe.plain_headers() == headers
    assert (expect.status, expect.http_version, expect.tls) == (("2xx",), ("1.1", "2", "2"), True)
    assert (expect.body, expect.body_not, expect.whole_body) == (("up",), ("down", "lost"), True)
    assert [(rule.not_matches, rule.matches, rule.allow_missing) for rule in expect.header_rules] == [
        (".*", None, True),
        (None, r"(\*|example\.com)", False),
    ]
    assert (probe.tls.verify, probe.tls.min_version, probe.tls.max_version) == (False, "TLS 1.1", "TLS 1.3")
    assert (probe.preferred_ip_protocol, probe.ip_protocol_fallback) == ("ip4", False)
    assert probe.max_body.value == 10 * 1024 * 1024, "as there"


def test_proxies_and_oauth_are_read(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    probe = one(
        write,
        """
    prober: http
    targets: [x.example]
    http:
      proxy_url: http://127.0.0.1:3128
      no_proxy: .corp, 10.0.0.0/8
      skip_resolve_phase_with_proxy: true
      proxy_connect_header: {Proxy-Authorization: [Bearer token]}
      enable_http2: false
      oauth2:
        client_id: me
        client_secret_file: secret
        token_url: https://login.example/token
        scopes: [a, b]
        endpoint_params: {grant_type: client_credentials}
        tls_config: {insecure_skip_verify: true}
""",
    )
    assert isinstance(probe, HttpSettings)
    assert probe.oauth2
    assert probe.oauth2.form() == {"grant_type": "client_credentials", "scope": "a b"}
    assert probe.oauth2.client_secret.get_secret_value() == "hush"
    assert probe.oauth2.tls.verify is False
    assert probe.proxies().headers == (("Proxy-Authorization", "Bearer token"),)
    assert (probe.proxy_resolves, probe.enable_http2) == (True, False)


def test_numbers_and_true_are_text_where_text_is_meant_as_go_reads_them(write: Write) -> None:
    text = """
    prober: http
    targets: [x.example]
    http:
      headers: {X-Number: 1, X-Debug: true, X-Version: 1.10}
      http_headers: {X-Code: {values: [7]}}
      body: 5
      valid_http_versions: [1.1]
      fail_if_body_matches_regexp: [500]
      basic_auth: {username: 1001, password: 123456}
"""
    probe = one(write, text)
    assert isinstance(probe, HttpSettings)
    own = {"X-Number": "1", "X-Debug": "true", "X-Version": "1.10", "X-Code": "7"}
    assert probe.plain_headers() == own
    assert (probe.body, probe.expect.body_not, probe.expect.http_version) == ("5", ("500",), ("1.1",))
    assert probe.password
    assert (probe.username, probe.password.get_secret_value()) == ("1001", "123456")
    tcp = one(write, "{prober: tcp, tcp: {query_response: [{expect: 220}, {send: 5}]}}")
    assert isinstance(tcp, TcpSettings)
    assert [(turn.expect, turn.send) for turn in tcp.query_response] == [("220", None), (None, "5")]


def test_tcp_is_read_and_its_captures_are_no_variables(write: Write) -> None:
    probe = one(
        write,
        """
    prober: tcp
    tcp:
      source_ip_address: 127.0.0.1
      query_response:
        - send: !!binary AAAACATSFi8=
        - expect_bytes: S
        - expect: "PING :([^ ]+)"
          send: "PONG ${1}"
          labels: [{name: who, value: "${1}"}]
        - starttls: true
      tls_config: {server_name: x.example}
""",
    )
    assert isinstance(probe, TcpSettings)
    first, second, third, fourth = probe.query_response
    assert (first.send or "").encode("utf-8", "surrogateescape") == bytes.fromhex("0000000804d2162f")
    assert second.expect_bytes == "S"
    assert (third.send, third.labels) == ("PONG ${1}", {"who": "${1}"})
    assert fourth.starttls
    assert (probe.tls.server_name, probe.source_ip_address) == ("x.example", "127.0.0.1")


def test_icmp_dns_and_grpc_are_read(write: Write) -> None:
    probe = one(
        write, "{prober: icmp, icmp: {payload_size: 100, ttl: 5, dont_fragment: true, preferred_ip_protocol: ip4}}"
    )
    assert isinstance(probe, IcmpSettings)
    assert (probe.payload_size, probe.ttl, probe.dont_fragment, probe.preferred_ip_protocol) == (100, 5, True, "ip4")
    rules = "{fail_if_matches_regexp: ['.*127.0.0.1'], fail_if_none_matches_regexp: [a]}"
    probe = one(
        write,
        f"{{prober: dns, dns: {{query_name: www.prometheus.io, query_type: A, valid_rcodes: [NOERROR, NXDOMAIN],"
        f" recursion_desired: false, validate_answer_rrs: {rules}}}}}",
    )
    assert isinstance(probe, DnsSettings)
    assert (probe.query_name, probe.query_type, probe.valid_rcodes) == (
        "www.prometheus.io",
        "A",
        ("NOERROR", "NXDOMAIN"),
    )
    assert probe.validate_answer_rrs.fail_if_none_matches_regexp == ("a",)
    assert not probe.recursion_desired
    probe = one(write, "{prober: grpc, grpc: {service: s, tls: true, tls_config: {insecure_skip_verify: true}}}")
    assert isinstance(probe, GrpcSettings)
    assert (probe.service, probe.use_tls, probe.tls.verify) == ("s", True, False)


@pytest.mark.parametrize("prober", sorted(PROBERS.keys() - {"dns", "unix"}))
def test_a_section_may_be_left_out_or_empty(write: Write, prober: str) -> None:
    one(write, f"{{prober: {prober}}}")
    one(write, f"{{prober: {prober}, {prober}: }}")


def test_what_stands_in_sections_of_other_probers_is_ignored_as_there(write: Write) -> None:
    one(write, "{prober: icmp, http: {method: GET}}")


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("{prober: websocket}", "3:3: modules.m", "prober: websocket: is not there; probe the server's HTTP side"),
        ("{prober: htp}", "3:3: modules.m", "did you mean 'http'?"),
        ("{prober: http, htpp: {}}", "3:21: modules.m.htpp", "unknown key; did you mean 'http'?"),
        ("{prober: http, http: {metod: GET}}", "3:28: modules.m.http.metod", "unknown key; did you mean 'method'?"),
        ("{prober: http, http: {enable_http3: true}}", "3:28: modules.m.http.enable_http3", "HTTP/3 is not spoken"),
        (
            "{prober: http, http: {fail_if_body_json_matches_cel: 'body.a'}}",
            "3:28: modules.m.http.fail_if_body_json_matches_cel",
            "expect: {values: [foo == bar]}",
        ),
        (
            "{prober: http, http: {fail_if_body_matches_regexp: ['(?=a)']}}",
            "3:58: modules.m.http.fail_if_body_matches_regexp[0]",
            "not a regular expression as RE2 has them",
        ),
        (
            "{prober: http, http: {basic_auth: {username: a, password: b}}}",
            "3:3: modules.m",
            "http.basic_auth.username is a credential; list the targets",
        ),
        ("{prober: http, http: {headers: {Authorization: a}}}", "3:3: modules.m", "is a credential; list the targets"),
        ("{prober: grpc, grpc: {metadata: {token: [a]}}}", "3:3: modules.m", "grpc.metadata.token is a credential"),
        (
            "{prober: http, http: {tls_config: {ca_file: /no/ca.pem}}}",
            "3:28: modules.m.http.tls_config: ",
            "the files or ciphers cannot be used",
        ),
        (
            "{prober: tcp, tcp: {tls: true, tls_config: {ca_file: /no/ca.pem}}}",
            "3:37: modules.m.tcp.tls_config: ",
            "the files or ciphers cannot be used",
        ),
        (
            "{prober: grpc, grpc: {tls_config: {min_version: TLS13, max_version: TLS10}}}",
            "3:28: modules.m.grpc.tls_config: ",
            "max_version TLS 1.0 is below",
        ),
        ("{prober: http, http: {body_size_limit: 10X}}", "3:28: modules.m.http.body_size_limit: ", "not a quantity"),
        ("{prober: http, http: {valid_status_codes: [9]}}", "modules.m.http.valid_status_codes[0]: ", "or equal"),
        (
            "{prober: http, http: {valid_http_versions: [HTTP/9]}}",
            "modules.m.http.valid_http_versions[0]: ",
            "write HTTP/1.0",
        ),
        (
            "{prober: http, http: {basic_auth: {password_file: /no/password}}}",
            "modules.m.http.basic_auth.password_file: ",
            "cannot read /no/password",
        ),
        (
            "{prober: http, http: {authorization: {credentials_file: /no/token}}}",
            "modules.m.http.authorization.credentials_file: ",
            "cannot read /no/token",
        ),
        (
            "{prober: http, http: {http_headers: {X-A: {files: [/no/value]}}}}",
            "modules.m.http.http_headers.X-A.files[0]: ",
            "cannot read /no/value",
        ),
        ("{prober: http, http: {tls_config: {ca: PEM}}}", "3:41: modules.m.http.tls_config.ca", "name that as ca_file"),
        (
            "{prober: http, http: {body_file: /no/body}}",
            "3:28: modules.m.http.body_file: ",
            "cannot read /no/body",
        ),
        ("{prober: http, timeout: 5}", "3:21: modules.m.timeout", "did you mean 5s?"),
        ("{prober: http, http: {bearer_token: '${NO}'}, targets: [a]}", "modules.m.http.bearer_token", "NO is not set"),
        ("{prober: http, prober: tcp}", "modules.m.prober", "the key is there twice"),
        ("{prober: dns}", "3:3: modules.m", "query_name"),
        ("{prober: dns, dns: {query_name: a, query_type: B}}", "modules.m", "'B' is not a type of record"),
        ("{prober: icmp, icmp: {ttl: 999}}", "modules.m", "less than or equal to 255"),
        ("{prober: unix}", "3:3: modules.m", "any socket of this machine"),
        ("{prober: http, http: {proxy_url: 'ftp://p'}}", "modules.m.http.proxy_url", "is not a proxy"),
        ("{prober: tcp, tcp: {query_response: [{send: !!binary '*'}]}}", "modules.m.tcp", "is not base64"),
        ("{prober: http, http: 5}", "3:21: modules.m.http", "must be a mapping"),
    ],
)
def test_what_cannot_run_is_refused_alone_with_its_place_and_what_to_do(
    write: Write, text: str, place: str, told: str
) -> None:
    settings = load(write, f"  m: {text}\n")
    assert settings.modules.keys() == {"good"}
    problems = [str(problem) for problem in settings.refused["m"]]
    assert any(place in problem and told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{prober: http, http: {method: POST, body: 'key=${TOKEN}'}}", "http.body"),
        ("{prober: http, http: {headers: {Accept: '${TOKEN}'}}}", "http.headers.Accept"),
        ("{prober: grpc, grpc: {service: '${TOKEN}'}}", "grpc.service"),
        ("{prober: dns, dns: {query_name: '${TOKEN}.example'}}", "dns.query_name"),
    ],
)
def test_a_module_that_would_send_a_variable_to_anybody_is_refused_alone(write: Write, text: str, named: str) -> None:
    settings = config.load(write(f"modules:\n{GOOD}  m: {text}\n"), variables={"TOKEN": "hush-hush"})
    (problem,) = settings.refused["m"]
    assert problem.message.startswith(f"{named} has what came from a variable, which is secret")
    assert "hush" not in str(problem)


def test_all_that_is_wrong_with_a_module_is_told_at_once(write: Write) -> None:
    text = "{metod: GET, enable_http3: true, body_file: /no, compression: zstd, proxy_url: 'ftp://p'}"
    settings = load(write, f"  m: {{prober: http, http: {text}, timeot: 5s}}\n")
    assert len(settings.refused["m"]) == 6


def test_one_of_our_own_modules_that_is_wrong_refuses_the_file(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"modules\.m\.metod"):
        load(write, "  m: {kind: http, metod: GET}\n")


def test_a_module_that_says_nothing_is_refused_alone(write: Write) -> None:
    settings = load(write, "  m:\n")
    (problem,) = settings.refused["m"]
    assert "says nothing; write its prober" in problem.message
    assert "m" not in settings.modules
    assert settings.modules


def test_a_file_in_which_nothing_can_run_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(write("modules: {a: {prober: websocket}, b: {prober: unix}}"), variables={})
    assert len(caught.value.problems) == 2


def test_targets_cannot_be_discovered_for_a_module_that_is_refused(write: Write) -> None:
    text = "  m: {prober: websocket}\ndiscover: [{files: [a.yml], module: m, service: s}]\n"
    with pytest.raises(ConfigError, match=r"discover\[0\]\.module: the module is refused: .*websocket") as caught:
        load(write, text)
    assert len(caught.value.problems) == 1
