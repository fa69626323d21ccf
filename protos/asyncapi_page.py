"""The AsyncAPI document as a page that needs nothing beside itself."""

from collections.abc import Iterator
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
h2 { margin-top: 3rem; border-bottom: 1px solid #d0d7de; }
code { font: 0.9em ui-monospace, monospace; background: #f2f4f7; padding: 0.1em 0.3em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 0.35rem 0.75rem 0.35rem 0; vertical-align: top;
  border-bottom: 1px solid #e6e9ed; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ed; background: #14171b; } code { background: #23282f; }
  h2, th, td { border-color: #343b44; } a { color: #7ab7ff; }
}
"""


def page(document: dict[str, Any]) -> str:
    info = document["info"]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>",
            '<p>For machines: <a href="events.asyncapi.json">events.asyncapi.json</a>.</p>',
            *_channels(document),
            "<h2>What they are made of</h2>",
            *_schemas(document),
            "</body></html>\n",
        ]
    )


def _channels(document: dict[str, Any]) -> Iterator[str]:
    messages = document["components"]["messages"]
    for name, channel in document["channels"].items():
        yield f'<h2 id="{escape(name)}">{escape(name)}</h2>'
        yield (
            f"<p>Topic exchange <code>{escape(channel['address'])}</code>."
            f" {escape(channel['description'])}</p>"
            "<table><thead><tr><th>event</th><th>routing key</th><th></th></tr></thead><tbody>"
        )
        for reference in channel["messages"].values():
            message = messages[_name(reference)]
            yield (
                f"<tr><td>{_link(message['name'], message['title'])}</td>"
                f"<td><code>{escape(message['x-routing-key'])}</code></td>"
                f"<td>{escape(message['summary'])}</td></tr>"
            )
        yield "</tbody></table>"


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
        yield f"<p>{escape(schema.get('description', ''))}</p>"
        if "enum" in schema:
            yield "<p>" + ", ".join(f"<code>{escape(v)}</code>" for v in schema["enum"]) + "</p>"
            continue
        yield "<table><thead><tr><th>field</th><th>number</th><th>type</th><th></th></tr></thead>"
        for field, found in schema["properties"].items():
            yield (
                f"<tr><td><code>{escape(field)}</code></td><td>{found['x-protobuf-number']}</td>"
                f"<td>{_type(found)}</td><td>{escape(found.get('description', ''))}</td></tr>"
            )
        yield "</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _link(_name(schema))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return escape(str(schema.get("format", schema["type"])))


def _name(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def _link(name: str, text: str = "") -> str:
    return f'<a href="#{escape(name)}">{escape(text or name.rpartition(".")[2])}</a>'
