"""GET /: where things are, for a person who opens the address in a browser."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter()

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Local Swarm</title></head>
<body><h1>Local Swarm</h1>
<p>An OpenAI-compatible endpoint. Point a client at <code>{base}/v1</code>; no key is needed.</p>
<ul><li><a href="/v1/models">models</a></li><li><a href="/health">health</a></li>
<li><a href="/openapi.json">what is served</a></li></ul></body></html>
"""


@router.get("/", include_in_schema=False)
async def index(request: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(base=escape(str(request.base_url).rstrip("/"))))
