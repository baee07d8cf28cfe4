# SPDX-License-Identifier: ISC
"""What avtoworkerd says in another way than the Python SDK, and why: the table
of docs/conformance.md. A row is (requests, member, who has it, reason);
requests and member are patterns as of fnmatch, who is SDK or avtoworkerd, or
both if they say different things."""

EVERYWHERE = (
    ("every", "header.Accept-Encoding", "SDK",
     "replies are small; compressed ones can be bombs"),
    ("every", "header.Content-Type", "avtoworkerd",
     "the same headers with each request, polls included"),
    ("heartbeat*", "body.hot_skills", "avtoworkerd",
     "the SDK knows of none unless the script tells it; here a skill is hot "
     "while a child is ready"),
)

DIFFERENCES = {
    "classic": EVERYWHERE + (
        ("every", "header.X-Worker-ID", "avtoworkerd",
         "the same headers in both dialects"),
        ("every", "header.X-RXON-Version", "avtoworkerd",
         "the same headers in both dialects; it is how the dialect is found"),
        ("register", "body.resources.ram_gb", "avtoworkerd",
         "the guide's memory_gb; the SDK of that time had no memory"),
    ),
    "rxon": EVERYWHERE + (
        ("every", "header.X-RXON-Version", "both",
         "each says which version it was made for; it is a remark in a log"),
        ("*", "body.nonce", "avtoworkerd",
         "two equal messages within a second are a replay to 1.0b30"),
        ("register", "body.capabilities.cost_per_skill", "SDK",
         "no empty objects (S10)"),
        ("register", "body.capabilities.extra.websockets", "SDK",
         "it has no effect in a registration"),
        ("register", "body.installed_artifacts", "SDK",
         "nothing is said of what there is none of"),
        ("register", "body.installed_software.*", "both",
         "each names itself"),
        ("register", "body.supported_skills.type", "both",
         "the category `default` is not a type"),
        ("register", "body.hot_skills", "avtoworkerd",
         "children are ready before the registration"),
        ("register", "body.max_concurrent_tasks", "avtoworkerd",
         "as in classic; unknown members are dropped"),
        ("heartbeat, at work", "body.current_tasks", "both",
         "the ids of jobs, too: they are what is compared (S12)"),
        ("heartbeat, last", "body.status", "both",
         "the SDK says offline; stop_status = keep, our default, does not, so "
         "that jobs wait for the next start (S6)"),
        ("heartbeat, last", "body.*_skills", "both",
         "the same"),
        ("poll", "query.*", "SDK",
         "no orchestrator looks at it"),
        ("result", "body.status", "avtoworkerd",
         "success is said, not left out"),
        ("result", "body.data", "SDK",
         "no empty objects"),
        ("event", "body.bubbling_chain", "SDK",
         "empty, and not signed"),
        ("event", "body.priority", "SDK",
         "nobody has set one"),
        ("event", "body.trace_context", "SDK",
         "no empty objects"),
    ),
}
