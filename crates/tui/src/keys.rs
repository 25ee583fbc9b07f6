//! What the help shows; what each key does is in [`crate::press`].

/// Keys by screen, and what they do.
pub const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "everywhere",
        &[
            ("1 2 3 4", "frames, runs, cron, budget"),
            ("j k, arrows", "choose"),
            ("w", "to the next agent that waits for you"),
            (":", "any command of mimir"),
            ("/", "show only some frames"),
            ("?", "this help"),
            ("q", "leave; everything goes on"),
        ],
    ),
    (
        "frames",
        &[
            ("Enter", "into its terminal; C-b d comes back"),
            ("e", "into its shell"),
            ("s", "send a message"),
            ("y", "allow what is asked, or answer the question"),
            ("A", "allow it always"),
            ("n", "deny it, with a reason"),
            ("v", "all of what is asked"),
            ("Tab", "conversation, log, events, about"),
            ("PgUp PgDn", "scroll; End goes to the newest"),
            ("x", "show tool calls and thoughts whole"),
            ("b", "stop the turn"),
            ("S X R", "start, stop, restart"),
            ("P", "pause, or go on"),
            ("c", "create a frame"),
            ("D", "destroy it"),
            ("o", "open it in a tab of your terminal"),
        ],
    ),
    ("runs", &[("y", "let it go on"), ("C", "cancel it"), ("R", "try it again")]),
    ("cron", &[("r", "do it now"), ("P", "pause, or go on")]),
];
