//! The page's files. Written by `scripts/web`; change web/ instead.

use super::File;

/// The page itself.
pub(super) const INDEX: &[u8] = include_bytes!("assets/index.html");

/// What it is made of. A name holds the hash of what is in it.
pub(super) const FILES: &[File] = &[
    File {
        name: "page-92d20c09d3e6a4d3.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/page-92d20c09d3e6a4d3.js"),
    },
    File {
        name: "page-a413115c8d22f581.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/page-a413115c8d22f581.css"),
    },
    File {
        name: "page-d8ca28c3ee62df4b.svg",
        media: "image/svg+xml",
        bytes: include_bytes!("assets/page-d8ca28c3ee62df4b.svg"),
    },
];
