"""Small chat templates of the shapes that models come with."""

from __future__ import annotations

_TURNS = """
{%- for message in messages %}
    {%- if message.role == 'assistant' and message.tool_calls %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n' }}CALL
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.previtem is undefined or loop.previtem.role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""

HERMES = """{%- if tools %}
    {{- '<|im_start|>system\\nTools:' }}
    {%- for tool in tools %}
        {{- '\\n' }}{{- tool | tojson }}
    {%- endfor %}
    {{- '\\nAnswer with <tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}""" + _TURNS.replace(
    "CALL",
    """{{- '<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}""",
)

HERMES_THINKING = HERMES.replace(
    "{{- '<|im_start|>assistant\\n' }}", "{{- '<|im_start|>assistant\\n<think>\\n' }}"
)

HERMES_TEXT_ARGUMENTS = HERMES.replace("tool_call.arguments | tojson", "tool_call.arguments")

CODER_XML = """{%- if tools %}
    {{- '<|im_start|>system\\nAnswer with <tool_call>\\n<function=name>\\n<parameter=key>\\nvalue' }}
    {{- '\\n</parameter>\\n</function>\\n</tool_call><|im_end|>\\n' }}
{%- endif %}""" + _TURNS.replace(
    "CALL",
    """{{- '<tool_call>\\n<function=' + tool_call.name + '>\\n' }}
            {%- for key, value in tool_call.arguments | items %}
                {{- '<parameter=' + key + '>\\n' }}
                {{- value if value is string else value | tojson }}
                {{- '\\n</parameter>\\n' }}
            {%- endfor %}
            {{- '</function>\\n</tool_call>' }}""",
)

# Prints calls between known tags in an unknown way.
KEY_VALUE = _TURNS.replace(
    "CALL",
    """{{- '<tool_call>' + tool_call.name }}
            {%- for key, value in tool_call.arguments | items %}
                {{- '<arg_key>' + key + '</arg_key><arg_value>' + value + '</arg_value>' }}
            {%- endfor %}
            {{- '</tool_call>' }}{# "arguments" #}""",
)

PLAIN = """{%- for message in messages -%}
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"""

DISTILLED = """{{ bos_token }}
{%- for message in messages -%}
    {%- set content = message.content.split('</think>')[-1] -%}
    {{ '<|' + message.role + '|>' + content }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|><think>\\n' }}{%- endif -%}"""

STRICT = """{{ bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant'] %}
        {{- raise_exception('Only user and assistant roles are supported!') }}
    {%- endif %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {{- '[INST] ' + message.content + ' [/INST]' if message.role == 'user' else message.content + eos_token }}
{%- endfor %}"""
