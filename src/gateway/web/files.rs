//! The page's files. Written by `scripts/web`; change web/ instead.

use super::File;

/// The page itself.
pub(super) const INDEX: &[u8] = include_bytes!("assets/index.html");

/// What it is made of. A name holds the hash of what is in it.
pub(super) const FILES: &[File] = &[
    File {
        name: "page-43e723e6107c3231.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/page-43e723e6107c3231.js"),
    },
    File {
        name: "page-d8ca28c3ee62df4b.svg",
        media: "image/svg+xml",
        bytes: include_bytes!("assets/page-d8ca28c3ee62df4b.svg"),
    },
    File {
        name: "page-df473868a693756a.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/page-df473868a693756a.css"),
    },
];
