"""A template that is malicious or broken ends in an error, soon."""

from __future__ import annotations

import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.chat import sandbox
from services.inference_worker.chat.template import ChatTemplate


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ 'x' * 100000000 }}",
        "{{ 100000000 * [1] }}",
        "{{ 10 ** 100000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% include 'other' %}",
    ],
)
def test_what_leaves_the_sandbox_or_explodes_is_refused(source: str) -> None:
    with pytest.raises(SwarmError) as caught:
        ChatTemplate(source, "", "", "bad").render_messages([], None)
    assert caught.value.reason is Reason.TEMPLATE_FAILED


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(200) if messages else '' }}",
    ],
)
def test_a_template_that_takes_too_long_is_stopped(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 0.05)
    template = ChatTemplate(
        source if "macro" in source else "{% if messages|length == 1 %}" + source + "{% endif %}",
        "",
        "",
        "slow",
    )
    with pytest.raises(SwarmError) as caught:
        template.render_messages([{"role": "user", "content": "x"}], None)
    assert caught.value.reason is Reason.TEMPLATE_FAILED


def test_a_prompt_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_CHARACTERS", 1000)
    template = ChatTemplate("{% for i in range(2000) %}x{{ i }}{% endfor %}", "", "", "long")
    with pytest.raises(SwarmError, match="1000 characters"):
        template.render_messages([], None)
