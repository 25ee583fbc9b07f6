//! The files of a strange project are taken or refused, and nothing in them allows anything.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::config::{frame_file::FrameFile, project_file};
use mimir_fuzz::model::policy::Action;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok((layer, ignored)) = project_file::accept(text, Path::new("mimir.yaml")) {
        assert!(layer.rules.iter().all(|rule| rule.action != Action::Allow), "{text}");
        assert!(ignored.iter().all(|key| !key.why.is_empty()));
    }
    if let Ok(file) = FrameFile::parse(text, Path::new("frame.yaml")) {
        assert!(file.workspace.is_none() || file.project.is_none());
        assert!(file.env.values().all(|value| !value.contains(['\0', '\n'])), "{text}");
    }
});
