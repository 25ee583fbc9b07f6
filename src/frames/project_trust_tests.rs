//! What of a project is obeyed, and what a yes to it holds for.

use super::*;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        put(folder.path(), name, text);
    }
    folder
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("written");
}

fn trusted(found: &Found) -> TrustedFolder {
    TrustedFolder {
        path: "/p".to_owned(),
        hash: found.hash(),
        files: found.files.clone(),
        trusted_at: 1,
        trusted_by: "local:0".to_owned(),
    }
}

const ALL: &[(&str, &str)] = &[
    (
        "opencode.json",
        r#"{"plugin": ["./scripts/start.js"], "mcp": {"db": {"command": ["node", "srv/db.js"]}}}"#,
    ),
    ("scripts/start.js", "1"),
    ("srv/db.js", "2"),
    ("srv/other.js", "not named"),
    (".opencode/plugins/a.js", "3"),
    (".opencode/tool/b.ts", "4"),
    (".opencode/command/c.md", "5"),
    (".opencode/agents/d.md", "6"),
    (".opencode/skills/e/SKILL.md", "7"),
    (".opencode/opencode.jsonc", "{ /* mine */ \"permission\": \"allow\" }"),
    (".opencode/node_modules/x/index.js", "8"),
    (".opencode/plans/1.md", "a plan"),
    ("AGENTS.md", "text"),
];

#[test]
fn everything_that_would_be_obeyed_is_found_and_nothing_else_counts() {
    let folder = project(ALL);
    let found = look(folder.path());
    assert!(found.obstacles.is_empty() && found.runs(), "{found:?}");
    let kinds: Vec<String> = found.items.iter().map(|item| format!("{} {}", item.kind, item.path)).collect();
    assert_eq!(
        kinds,
        [
            "plugin .opencode/plugins/a.js",
            "plugin opencode.json",
            "mcp opencode.json",
            "tool .opencode/tool/b.ts",
            "command .opencode/command/c.md",
            "agent .opencode/agents/d.md",
            "skill .opencode/skills/e/SKILL.md",
            "setting .opencode/opencode.jsonc",
            "files .opencode/node_modules",
            "files scripts/start.js",
            "files srv/db.js",
        ]
    );
    put(folder.path(), "srv/other.js", "changed");
    put(folder.path(), ".opencode/plans/2.md", "another plan");
    put(folder.path(), "AGENTS.md", "other text");
    assert_eq!(look(folder.path()), found);
}

#[test]
fn a_yes_holds_for_exactly_this_content() {
    let folder = project(ALL);
    let found = look(folder.path());
    assert_eq!(found.judge(None), Trust::Untrusted);
    let yes = trusted(&found);
    assert_eq!(found.judge(Some(&yes)), Trust::Trusted);
    let changes = [
        "opencode.json",
        "scripts/start.js",
        "srv/db.js",
        ".opencode/plugins/a.js",
        ".opencode/opencode.jsonc",
        ".opencode/node_modules/x/index.js",
        ".opencode/plugins/new.js",
        ".opencode/plans/code.js",
    ];
    for name in changes {
        let before = fs::read_to_string(folder.path().join(name)).ok();
        put(folder.path(), name, "{}");
        let now = look(folder.path());
        assert_eq!(now.judge(Some(&yes)), Trust::Changed, "{name}");
        match before {
            Some(text) => put(folder.path(), name, &text),
            None => fs::remove_file(folder.path().join(name)).expect("removed"),
        }
        assert_eq!(look(folder.path()).judge(Some(&yes)), Trust::Trusted, "{name} as it was");
    }
    // Data of a program is not the program.
    put(folder.path(), "opencode.json", &ALL[0].1.replace("db.js\"", "db.js\", \"data.db\""));
    let with_data = look(folder.path());
    put(folder.path(), "data.db", "rows");
    assert_eq!(look(folder.path()), with_data);
    assert_eq!(look(project(&[("AGENTS.md", "x"), ("src/a.js", "1")]).path()).judge(None), Trust::Nothing);
}

#[test]
fn files_of_many_pieces_have_the_hash_of_the_whole_and_settings_have_an_end() {
    let text = "0123456789abcdef\n".repeat(PIECE / 4);
    let folder = project(&[(".opencode/plugins/large.js", &text), (".opencode/plugins/empty.js", "")]);
    let found = look(folder.path());
    assert!(found.obstacles.is_empty(), "{:?}", found.obstacles);
    for (name, text) in [("large", text.as_str()), ("empty", "")] {
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        assert_eq!(found.files.get(&format!(".opencode/plugins/{name}.js")), Some(&hash), "{name}");
    }
    let file = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    let most = usize::try_from(MOST_SETTINGS_BYTES).expect("a size");
    put(folder.path(), "opencode.json", &file(most));
    assert!(look(folder.path()).obstacles.is_empty());
    put(folder.path(), "opencode.json", &file(most + 1));
    assert_eq!(look(folder.path()).obstacles, [format!("opencode.json: {TOO_LARGE}")]);
    // One that grew after its size was asked.
    let (root, found) = (folder.path().to_owned(), Found::default());
    let mut grown = Look { root, found, files: 0, bytes: 0, named: VecDeque::new() };
    assert_eq!(grown.read_settings(Path::new("opencode.json")), Err(TOO_LARGE.to_owned()));
}

#[test]
fn a_folder_that_is_loaded_by_its_index_and_a_driver_of_models_are_bound_too() {
    let settings = r#"{"plugin": ["./plug"], "provider": {"p": {"npm": "file:///workspace/driver.mjs"}}}"#;
    let folder = project(&[
        ("opencode.json", settings),
        ("plug/index.ts", "1"),
        ("plug/more.ts", "2"),
        ("driver.mjs", "3"),
    ]);
    let found = look(folder.path());
    assert!(found.obstacles.is_empty() && found.runs(), "{found:?}");
    let yes = trusted(&found);
    for name in ["plug/index.ts", "plug/more.ts", "driver.mjs"] {
        let before = fs::read_to_string(folder.path().join(name)).expect("there");
        put(folder.path(), name, "changed");
        assert_eq!(look(folder.path()).judge(Some(&yes)), Trust::Changed, "{name}");
        put(folder.path(), name, &before);
    }
    assert_eq!(look(folder.path()).judge(Some(&yes)), Trust::Trusted);
    let elsewhere = project(&[("opencode.json", r#"{"x": "{file:{env:WHERE}}"}"#)]);
    assert!(look(elsewhere.path()).obstacles[0].contains("something else"));
}

#[test]
fn what_a_yes_could_not_be_bound_to_is_an_obstacle() {
    let link = |name: &str, target: &str| {
        let folder = project(&[(".opencode/plugins/a.js", "1"), ("src/evil.js", "2")]);
        let path = folder.path().join(name);
        std::os::unix::fs::symlink(target, &path).expect("a link");
        let found = look(folder.path());
        assert_ne!(found.judge(Some(&trusted(&found))), Trust::Trusted, "{name} -> {target}");
        assert!(found.runs());
        found.obstacles.join("; ")
    };
    assert!(link("opencode.json", "/etc/passwd").contains("opencode.json: it is a link"));
    assert!(link(".opencode/plugins/b.js", "../../src/evil.js").contains("a link out of .opencode"));
    assert!(link(".opencode/plugins/b.js", "gone.js").contains("leads nowhere"));
    // Agents that would be the agent's to write.
    let plans = project(&[(".opencode/plans/team/build.md", "1"), (".opencode/command/go.md", "2")]);
    let place = plans.path().join(".opencode");
    std::os::unix::fs::symlink("command", place.join("commands")).expect("a link");
    assert!(look(plans.path()).obstacles.is_empty(), "to what is bound");
    std::os::unix::fs::symlink("plans/team", place.join("agents")).expect("a link");
    assert!(look(plans.path()).obstacles.join("; ").contains("nobody says yes to"));
    assert!(
        look(project(&[("opencode.json", "{ \"plugin\": ")]).path()).obstacles[0].contains("cannot be read")
    );

    // A package manager's links stay within.
    let folder = project(&[(".opencode/node_modules/x/cli.js", "1")]);
    fs::create_dir(folder.path().join(".opencode/node_modules/.bin")).expect("a folder");
    std::os::unix::fs::symlink("../x/cli.js", folder.path().join(".opencode/node_modules/.bin/x"))
        .expect("a link");
    assert!(look(folder.path()).obstacles.is_empty());
}
