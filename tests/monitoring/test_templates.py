"""Templates are judged as Go judges them, and the labels that they print are known."""

from __future__ import annotations

import pytest

from bais_gates.monitoring.templates import TemplateError, parse


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("plain text } }}", set()),
        ("{{ $labels.job }} and {{$labels.instance}}", {"job", "instance"}),
        ('{{ index $labels "job" }}{{ .Labels.pod }}{{ $.Labels.node }}', {"job", "pod", "node"}),
        ("{{ $value | }}{{ $x = 5 }}{{ 0x1 $x }}", set()),
        ("{{- $value | humanizePercentage -}}", set()),
        ("{{/* a comment }} */}}{{- /* another */ -}}", set()),
        ('{{ range $i, $one := query "up" }}{{ $one.Labels.job }}{{ else }}none{{ end }}', set()),
        ('{{ with printf "x%s" $labels.a | query }}{{ . | first | value }}{{ end }}', {"a"}),
        ("{{ if and (eq $labels.a `b`) (gt $value 5.0) }}x{{ else if $labels.c }}y{{ end }}", {"a", "c"}),
        ('{{ define "t" }}{{ . }}{{ end }}{{ template "t" $labels.a }}', {"a"}),
        ("{{ range query `up` }}{{ if .Value }}{{ break }}{{ end }}{{ end }}", set()),
        ("{{ $x := $labels.a }}{{ $x = $value }}{{ ($labels.b) }}{{ -1.5e3 }}{{ 'x' }}", {"a", "b"}),
    ],
)
def test_what_go_parses(text: str, labels: set[str]) -> None:
    """A template that Go parses has no error, and names the labels that it prints."""
    assert parse(text).labels == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ $valu }}", "undefined variable $valu"),
        ("{{ $value | humanise }}", "function 'humanise' is not defined"),
        ("{{ $value }", "unexpected '}'"),
        ("{{ $value", "an action {{ is not closed"),
        ("{{ }}", "an empty action"),
        ("{{ if $value }}x", "{{ if }} without an {{ end }}"),
        ("{{ end }}", "{{ end }} without a block"),
        ("{{ else }}", "{{ else }} without an if"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", "{{ else }} without an if"),
        ("{{ break }}", "{{ break }} outside a range"),
        ("{{ template x }}", "needs the name of a template"),
        ("{{ ($value }}", "a parenthesis is not closed"),
        ("{{ | print }}", "a missing value"),
        ('{{ $value | "%.2f" }}', "can't be given a value by a pipe"),
        ("{{ $value | . }}", "can't be given a value by a pipe"),
        (r'{{ "\q" }}', "a wrong escape"),
        ('{{ tmpl "x" . }}', "function 'tmpl' is not defined"),
        ("{{ $labels..x }}", "unexpected"),
        ("{{ with$value }}{{ end }}", "unexpected '$' after with"),
        ("{{ true.x }}", "unexpected '.x'"),
        ("{{ range $x := query `up` }}{{ end }}{{ $x }}", "undefined variable $x"),
        ("{{/* open", "a comment is not closed"),
        ("{{ " + "(" * 5000 + "}}", "nested more than 100 deep"),
        ("{{ " + "1 " * 20_000, "more than 10000 tokens"),
    ],
)
def test_what_go_refuses(text: str, message: str) -> None:
    """A template that Go refuses, or one without an end to its nesting, is refused with the reason."""
    with pytest.raises(TemplateError) as error:
        parse(text)

    assert message in str(error.value)


def test_the_value_is_seen() -> None:
    """A template knows whether it prints the value, by either name."""
    assert parse("{{ $value }}").uses_value
    assert parse("{{ .Value }}").uses_value
    assert not parse("{{ $labels.value }} $value").uses_value
