//! What somebody said yes to in a project, as a frame itself can compare it whenever its agent begins anew.
//!
//! The gateway compares before a frame starts. In a frame that runs, the supervisor starts the agent again when it ended,
//! without asking anybody; what the project holds by then may be another thing (a branch was changed, a package was
//! installed). So the list goes into the frame's start folder, which nothing inside can write, and
//! `images/frame/mimir-trusted` compares by it. A project that is not the same is left out until the next start.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Where opencode's schemas are.
const SCHEMAS: &[u8] = b"\"https://opencode.ai/";

/// The list: names are from the project's folder, hashes SHA-256 of contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// Files, with the hash of each.
    pub files: BTreeMap<String, String>,
    /// Files of settings, with the hash of each without its schema.
    pub settings: BTreeMap<String, String>,
    /// Links, with where they lead.
    pub links: BTreeMap<String, String>,
    /// Folders of packages elsewhere in the project: nothing may come to them.
    pub folders: BTreeSet<String>,
    /// Places that the settings may mean. Whether as something that is started (then only programs count), and whether a
    /// folder there could be loaded.
    pub named: BTreeSet<(String, bool, bool)>,
}

impl Bound {
    /// Takes in what another list has of files and links.
    pub(super) fn take_in(&mut self, other: &mut Self) {
        self.files.append(&mut other.files);
        self.links.append(&mut other.links);
    }

    /// As the frame reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps of text cannot fail to be written; a list that says nothing would not be obeyed.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Settings without the place of their schema at their beginning, and without what is white around it: opencode writes it
/// into a file that lacks it, as soon as it reads it. Everything else counts.
pub(super) fn without_schema(text: &[u8]) -> Vec<u8> {
    let Some(inside) = text.trim_ascii_start().strip_prefix(b"{") else { return text.to_vec() };
    let inside = inside.trim_ascii_start();
    let behind = |inside: &[u8]| -> Option<usize> {
        let value = inside.strip_prefix(b"\"$schema\"")?.trim_ascii_start().strip_prefix(b":")?;
        let place = value.trim_ascii_start().strip_prefix(SCHEMAS)?;
        let end = place.iter().position(|byte| *byte == b'"')?;
        let is_plain = place[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || b"./-_".contains(byte));
        let rest = place[end + 1..].trim_ascii_start();
        let rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        is_plain.then_some(rest.len())
    };
    let left = behind(inside).unwrap_or(inside.len());
    [&b"{"[..], &inside[inside.len() - left..]].concat()
}

#[cfg(test)]
mod tests {
    use super::super::project_trust::look;
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    /// What the frame's own program says of a folder, by the list of it as it was; empty when it is the same.
    fn said(list: &Path, folder: &Path) -> String {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/frame/mimir-trusted");
        let done = Command::new("python3").arg("-I").arg(program).args([list, folder]).output();
        let done = done.expect("python3 runs");
        assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        assert_eq!(done.status.code(), Some(i32::from(!text.is_empty())), "{text}");
        text
    }

    #[test]
    fn the_schema_that_opencode_writes_into_settings_does_not_count_and_everything_else_does() {
        let is = |text: &str| String::from_utf8(without_schema(text.as_bytes())).expect("text");
        let with = "{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"plugin\": [\"a\"]\n}\n";
        assert_eq!(is(with), is("{\"plugin\": [\"a\"]\n}\n"));
        assert_eq!(is("{\n  \"$schema\": \"https://opencode.ai/config.json\",}"), is(" {}"));
        for (one, other) in [
            ("{\"plugin\": [\"a b\"]}", "{\"plugin\": [\"ab\"]}"),
            ("{\"$schema\": \"https://evil.test/x\", \"a\": 1}", "{\"a\": 1}"),
            ("{\"$schema\": \"https://opencode.ai/{file:x}\", \"a\": 1}", "{\"a\": 1}"),
            ("// {\n{\"a\": 1}", "{\"a\": 1}"),
        ] {
            assert_ne!(is(one), is(other));
        }
    }

    /// The frame's program and the gateway's look are two ways to say the same.
    #[test]
    fn a_frame_notices_itself_what_the_gateway_would() {
        let (folder, place) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let list = place.path().join("trusted");
        for (name, text) in [
            (
                "opencode.json",
                r#"{"plugin": ["./scripts/c.js", "./plug", "./later.js"], "mcp": {"m": {"command": ["node", "srv.js", "data.db"]}}}"#,
            ),
            ("scripts/c.js", "1"),
            ("plug/index.js", "2"),
            ("plug/lib/more.js", "3"),
            ("srv.js", "4"),
            ("other.js", "not named"),
            (".opencode/plugins/a.js", "5"),
            (".opencode/opencode.jsonc", "{ // mine\n \"permission\": \"ask\" }"),
            (".opencode/node_modules/x/index.js", "6"),
            (".opencode/plans/1.md", "a plan"),
            (".opencode/.gitignore", "node_modules"),
        ] {
            put(folder.path(), name, text);
        }
        let linked = folder.path().join(".opencode/node_modules/.bin/x");
        fs::create_dir_all(linked.parent().expect("a parent")).expect("a folder");
        std::os::unix::fs::symlink("../x/index.js", &linked).expect("a link");
        let found = look(folder.path());
        assert!(found.obstacles.is_empty(), "{found:?}");
        fs::write(&list, found.bound.to_json()).expect("written");
        let says = || said(&list, folder.path());
        let differs = || look(folder.path()).files != found.files;
        assert_eq!((says(), differs()), (String::new(), false));

        // What agents and opencode itself leave there is no change.
        put(folder.path(), ".opencode/plans/2.md", "another plan");
        put(folder.path(), ".opencode/.gitignore", "node_modules\nbun.lock");
        put(folder.path(), "other.js", "changed");
        put(folder.path(), "data.db", "rows");
        let settings = fs::read_to_string(folder.path().join("opencode.json")).expect("there");
        let with = settings.replacen('{', "{\n  \"$schema\": \"https://opencode.ai/config.json\",", 1);
        put(folder.path(), "opencode.json", &with);
        assert_eq!((says(), differs()), (String::new(), false));
        put(folder.path(), "opencode.json", &settings);

        for (name, text) in [
            ("opencode.json", "{}"),
            ("opencode.jsonc", "{}"),
            ("tui.json", "{}"),
            ("scripts/c.js", "other"),
            ("plug/lib/more.js", "other"),
            ("plug/new.js", "new"),
            ("srv.js", "other"),
            ("later.js", "it came"),
            (".opencode/plugins/a.js", "other"),
            (".opencode/plugins/b.js", "new"),
            (".opencode/opencode.jsonc", "{ // mine\n \"permission\": \"allow\" }"),
            (".opencode/node_modules/x/index.js", "other"),
            (".opencode/node_modules/y/index.js", "new"),
            (".opencode/package-lock.json", "{}"),
            (".opencode/plans/code.js", "new"),
        ] {
            let path = folder.path().join(name);
            let before = fs::read_to_string(&path).ok();
            put(folder.path(), name, text);
            let (said, differs) = (says(), differs());
            assert!(differs && said.starts_with(&format!("{name} ")), "{name}: {said}");
            match before {
                Some(text) => put(folder.path(), name, &text),
                None => fs::remove_file(&path).expect("removed"),
            }
            let _ = fs::remove_dir(folder.path().join(".opencode/node_modules/y"));
            assert_eq!(says(), "", "{name} as it was");
        }

        // Gone, or another kind of thing.
        let plugin = folder.path().join(".opencode/plugins/a.js");
        fs::remove_file(&plugin).expect("removed");
        assert_eq!(says(), ".opencode/plugins/a.js is gone since somebody trusted it");
        std::os::unix::fs::symlink("/etc/passwd", &plugin).expect("a link");
        assert_eq!(says(), ".opencode/plugins/a.js changed since somebody trusted it");
        fs::remove_file(&plugin).expect("removed");
        put(folder.path(), ".opencode/plugins/a.js", "5");
        fs::remove_file(&linked).expect("removed");
        std::os::unix::fs::symlink("../y/index.js", &linked).expect("a link");
        assert_eq!(says(), ".opencode/node_modules/.bin/x changed since somebody trusted it");

        // A list that cannot be read is nobody's yes.
        fs::write(&list, "{").expect("written");
        assert!(says().contains("cannot be compared"), "{}", says());
    }
}
