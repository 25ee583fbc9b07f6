//! The page's files. Written by `scripts/web`; change web/ instead.

use super::File;

/// The page itself.
pub(super) const INDEX: &[u8] = include_bytes!("assets/index.html");

/// What it is made of. A name holds the hash of what is in it.
pub(super) const FILES: &[File] = &[
    File {
        name: "icon-192-8a32fa7e81431a39.png",
        media: "image/png",
        bytes: include_bytes!("assets/icon-192-8a32fa7e81431a39.png"),
    },
    File {
        name: "icon-512-917a401ef98aadfb.png",
        media: "image/png",
        bytes: include_bytes!("assets/icon-512-917a401ef98aadfb.png"),
    },
    File {
        name: "mask-512-4d5161fa92033c6a.png",
        media: "image/png",
        bytes: include_bytes!("assets/mask-512-4d5161fa92033c6a.png"),
    },
    File {
        name: "page-6cad63efb589924d.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/page-6cad63efb589924d.css"),
    },
    File {
        name: "page-879d503687938171.webmanifest",
        media: "application/manifest+json",
        bytes: include_bytes!("assets/page-879d503687938171.webmanifest"),
    },
    File {
        name: "page-c9408832a278f628.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/page-c9408832a278f628.js"),
    },
    File {
        name: "page-d8ca28c3ee62df4b.svg",
        media: "image/svg+xml",
        bytes: include_bytes!("assets/page-d8ca28c3ee62df4b.svg"),
    },
    File {
        name: "terminal-17d92c194b5fbea1.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/terminal-17d92c194b5fbea1.js"),
    },
    File {
        name: "worker-376b8fe37ffab071.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/worker-376b8fe37ffab071.js"),
    },
];
