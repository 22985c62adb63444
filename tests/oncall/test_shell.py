"""Splitting commands: as a shell does, and nothing that hides what is run."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.oncall.programs import Call, UnknownUseError, read
from bais_gates.oncall.shell import Pipeline, pipelines


def _one(text: str) -> Pipeline:
    (found,) = pipelines(text, 1)
    return found


def test_a_block_is_split_into_commands() -> None:
    """Lines, continued lines, pipes, comments, quotes and harmless redirections, each with its line."""
    text = (
        "# first\n"
        "kubectl get pods | grep 'a|b' # why\n"
        "\n"
        'curl "$API_URL/x" \\\n'
        "  --data 'query=a > 1 and $b' 2>&1 | jq -r '.a | .b' > out.json\n"
        "openssl s_client -connect ${NODE}:443 </dev/null 2>/dev/null\n"
    )

    assert list(pipelines(text, 10)) == [
        Pipeline(line=11, commands=(("kubectl", "get", "pods"), ("grep", "a|b"))),
        Pipeline(
            line=13,
            commands=(
                ("curl", "$API_URL/x", "--data", "query=a > 1 and $b"),
                ("jq", "-r", ".a | .b"),
            ),
            variables=frozenset({"API_URL"}),
        ),
        Pipeline(
            line=15,
            commands=(("openssl", "s_client", "-connect", "${NODE}:443"),),
            variables=frozenset({"NODE"}),
        ),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a; b", "a && b", "a || b", "a & b", "(a)", "a $(b)", 'a "$(b)"', "a `b`", 'a "`b`"', "a <name>",
        "a << EOF", "a > $FILE", "a *.log", "a x?y", "A=1 b", "A=1", "a 'b", 'a "b', "a |", "| a",
        "a ${b:-c}", 'a "$$"', "a <(b)",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    """Nothing that hides a command, depends on the shell, or is left open is read; the next line is."""
    found = list(pipelines(f"ok\n{text}\n", 1))

    assert found[0] == Pipeline(line=1, commands=(("ok",),))
    assert found[1].fault
    assert found[1].commands == ()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1))
def test_quoted_words_are_read_back(words: list[str]) -> None:
    """What shlex quotes, whatever is in it, is one command with the same words."""
    found = list(pipelines(shlex.join(["ok", *words]), 1))

    assert found == [Pipeline(line=1, commands=(("ok", *words),))]


@given(st.text("ab '\"\\|;&$(){}`<>*?#\n=01", max_size=40))
def test_no_text_is_too_odd(text: str) -> None:
    """Any text is read or refused, and no refused character without quotes is in what is read."""
    for one in pipelines(text, 1):
        assert one.fault or all(one.commands)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "kubectl -n shop get pods,svc -owide --sort-by=.metadata.name",
            Call(
                program="kubectl", verb="get", arguments=("pods,svc",),
                flags=(("-n", "shop"), ("-o", "wide"), ("--sort-by", ".metadata.name")),
            ),
        ),
        (
            "kubectl -n shop logs -f deploy/api",
            Call(
                program="kubectl", verb="logs", arguments=("deploy/api",),
                flags=(("-n", "shop"), ("-f", None)),
            ),
        ),
        (
            "curl -sSf -m5 https://a.example",
            Call(
                program="curl", verb="", arguments=("https://a.example",),
                flags=(("-s", None), ("-S", None), ("-f", None), ("-m", "5")),
            ),
        ),
        (
            "redis-cli -u $REDIS_URL CONFIG GET -maxmemory",
            Call(
                program="redis-cli", verb="config get", arguments=("-maxmemory",),
                flags=(("-u", "$REDIS_URL"),),
            ),
        ),
        (
            "kubectl -n shop exec -it pod/a -- psql -c 'select 1'",
            Call(
                program="kubectl", verb="exec", arguments=("pod/a",), rest=("psql", "-c", "select 1"),
                flags=(("-n", "shop"), ("-i", None), ("-t", None)),
            ),
        ),
    ],
)  # fmt: skip
def test_a_command_is_read_by_the_table(text: str, expected: Call) -> None:
    """Verb, flags with their values, bundles of flags, and the other words."""
    assert read(_one(text).commands[0]) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh host", "ssh is not a program"),
        ("grep x", "behind a pipe"),
        ("curl -k https://a.example", "no -k"),
        ("curl --insecure https://a.example", "no --insecure"),
        ("curl https://a.example -o", "needs a value"),
        ("kubectl get pods --sort-by", "needs a value"),
        ("kubectl edit deploy/api", "without a verb of the table"),
        ("kubectl rollout", "without a verb of the table"),
        ("kubectl get pods --force", "no --force"),
        ("redis-cli flushall", "without a verb of the table"),
        ("psql -- x", "-- is for kubectl exec alone"),
    ],
)
def test_what_the_table_does_not_have(text: str, words: str) -> None:
    """A program, verb or flag that nobody allowed is refused by its name."""
    with pytest.raises(UnknownUseError, match=words):
        read(_one(text).commands[0])
