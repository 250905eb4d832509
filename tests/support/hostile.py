"""Strings that want to run, to break out of where they stand, or to wreck a layout: what files, tags and labels may hold."""

#: Each sets a flag, or opens a dialog, if it gets to run.
_RUN = "window.__ran=1"
_CORES = (
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"<!--<script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f"<svg onload={_RUN}>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<iframe srcdoc='<script>parent.__ran=1</script>'>",  # noqa: F541
    f"<details open ontoggle={_RUN}>",
    f"<input autofocus onfocus={_RUN}>",
    "<style>*{display:none!important}</style>",
    "<base href=https://example.org/>",
    "<meta http-equiv=refresh content=0;url=https://example.org/>",
    "<link rel=stylesheet href=https://example.org/a.css>",
    f"javascript:{_RUN}",
    "<script>alert(1)</script>",
    f"{{{{ config.__class__.__init__.__globals__ }}}}",  # noqa: F541
    "{% raw %}{{ 7*7 }}",
    "{# gone #}${7*7}#{7*7}<%= 7*7 %>",
    "&lt;b&gt;&amp;&#0;&#x1F600;&nbsp;",
    "]]><![CDATA[x]]>",
    "\u202eevil\u202d\u2066left\u2067right",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 abc",
    "👩\u200d👩\u200d👧\u200d👦🏳️\u200d🌈🎵" * 6,
    "a\x00b\x01c\x08d\x0be\x1bf\x7fg\x9fh",
    "\ud800lone\udfff",
    "Z\u0351\u036b\u0343\u036a\u0302\u0334\u0332" * 8,
    "w" * 1500,
    "悲" * 700,
    "\u200b\u200d\ufeff\u2028\u2029\u00ad",
    "-" * 400,
)
_TEMPLATES = (
    "{}",
    '">{}',
    "'>{}",
    "</textarea></title></option></noscript>{}",
    "-->{}",
    '" onmouseover="' + _RUN + '" x="{}',
    "love {} me",
    "{}\\u0022,\\u0027`${{" + _RUN + "}}`",
)

HOSTILE = tuple(template.replace("{}", core) for core in _CORES for template in _TEMPLATES)

#: A name with what separates fields and lines, quotes, markup, and more than ASCII.
ODD = 'a\tb\n"c",<d> ​$é'
