//! The page's files. Written by `scripts/web`; change web/ instead.

use super::File;

/// The page itself.
pub(super) const INDEX: &[u8] = include_bytes!("assets/index.html");

/// What it is made of. A name holds the hash of what is in it.
pub(super) const FILES: &[File] = &[
    File {
        name: "page-42bb218d88de4572.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/page-42bb218d88de4572.css"),
    },
    File {
        name: "page-ced06c292c866e50.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/page-ced06c292c866e50.js"),
    },
    File {
        name: "page-d8ca28c3ee62df4b.svg",
        media: "image/svg+xml",
        bytes: include_bytes!("assets/page-d8ca28c3ee62df4b.svg"),
    },
];
