//! Taking mimir away from a machine: what goes, what stays, and going on after a kill.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mimir::clock::Clock;
use mimir::model::secret::Secret;
use mimir::store::key::Keyring;
use mimir::uninstall::{Kind, Place, Refused, Survey, survey, take};
use parking_lot::Mutex;

use crate::cli::world::World;

const FRAME: &str = "frm_01m8kym0t7s07f1cnds0af4kss";
/// What `mimir init` writes.
const EXAMPLE: &str = include_str!("../../config/examples/workflow.yaml");
const STORAGE: &str = "[storage]\ndriver = \"overlay\"\n";

/// A machine on which mimir was used, without a container engine.
pub struct Used {
    pub root: tempfile::TempDir,
    pub place: Place,
}

#[derive(Default)]
struct Ring(Mutex<Option<Secret>>);

impl Keyring for Ring {
    fn get(&self) -> Result<Option<Secret>, String> {
        Ok(self.0.lock().clone())
    }
    fn set(&self, key: &Secret) -> Result<(), String> {
        *self.0.lock() = Some(key.clone());
        Ok(())
    }
    fn forget(&self) -> Result<(), String> {
        *self.0.lock() = None;
        Ok(())
    }
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

impl Used {
    pub fn new(uid: u32) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        let ring = Ring::default();
        ring.set(&Secret::new("ab".repeat(32))).expect("kept");
        let place = Place {
            home: at("me/.mimir"),
            runtime: at("run/mimir/0123456789ab"),
            database: at("me/.mimir/mimir.db"),
            user_home: Some(at("me")),
            etc: at("etc"),
            reserved_ports: at("proc/ports"),
            linger: at("linger"),
            scratch: at("var/tmp"),
            cache: Some(at("me/.cache/mimir")),
            engine: None,
            keyring: Some(Arc::new(ring)),
            program: Some(at("me/src/mimir/target/release/mimir")),
            clock: Clock::system(),
            systemd: false,
            uid,
            keep_data: false,
        };
        // Neither the database nor its key can be used.
        for (path, text) in [
            ("me/.mimir/mimir.db", "damaged"),
            ("me/.mimir/mimir.db-wal", "x"),
            ("me/.mimir/mimir.db.before-17", "x"),
            ("me/.mimir/gateway.lock", ""),
            ("me/.mimir/gateway.log", "words"),
            ("me/.mimir/gateway.log.1", "words"),
            ("me/.mimir/gateway.token", "x"),
            ("me/.mimir/config.yaml", "{}"),
            ("me/.mimir/config.yaml.before-1", "{}"),
            ("me/.mimir/known_gateways", "x"),
            ("me/.mimir/tls/key.pem", "x"),
            ("me/.mimir/audit.key", "x"),
            ("me/.mimir/images.made", "0123\n"),
            ("me/.mimir/audit.heads", "x"),
            ("me/.mimir/git/mirrors/0123/HEAD", "ref: refs/heads/main"),
            ("me/.mimir/git/pushes/psh_1/pack", "x"),
            ("me/.mimir/workflows/changes.yaml", EXAMPLE),
            ("me/.mimir/backups/000000000000001-schema-3.db", "copy"),
            ("run/mimir/0123456789ab/engine.log", "words"),
            ("me/.config/containers/storage.conf", STORAGE),
            ("me/.config/systemd/user/mimir.service", "[Service]\nExecStart=%h/.local/bin/mimir serve\n"),
            ("me/src/mimir/target/release/mimir", "program"),
            ("me/blog/README.md", "a project"),
            (
                "etc/containers/containers.conf.d/50-mimir.conf",
                "# Written by mimir's scripts/setup\n[engine]\n",
            ),
            ("etc/sysctl.d/50-mimir.conf", "# Written by mimir: ports\n"),
            ("proc/ports", "8080,33000-34000\n"),
        ] {
            write(&at(path), text);
        }
        for path in [
            "bash-completion/completions/mimir",
            "man/man1/mimir-frame.1.gz",
            "doc/mimir/LICENSE-MIT",
            "doc/mimir-image/copyright",
            "mimir/frame-0123456789abcdef.tar.zst",
        ] {
            write(&at(&format!("me/.local/share/{path}")), "unpacked");
        }
        write(&at("me/.local/share/man/man1/mimirs-own.1"), "of somebody else");
        write(&at(&format!("me/.mimir/frames/{FRAME}/home/kept")), "the agent's");
        let wants = at("me/.config/systemd/user/default.target.wants");
        fs::create_dir_all(&wants).expect("made");
        symlink(at("me/.config/systemd/user/mimir.service"), wants.join("mimir.service")).expect("a link");
        fs::create_dir_all(at("me/.local/bin")).expect("made");
        symlink(at("me/src/mimir/target/release/mimir"), at("me/.local/bin/mimir")).expect("a link");
        Self { root, place }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Everything that is there, below the root.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("reads").flatten() {
                if entry.file_type().expect("a type").is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    found.push(path.strip_prefix(self.root.path()).expect("below").display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    async fn take_all(&self) {
        let found = survey(&self.place).await.expect("looks");
        for taken in take(&self.place, found.items, |_| {}).await {
            assert_eq!(taken.problem, None, "{:?}", taken.item);
        }
    }
}

#[tokio::test]
async fn everything_that_mimir_made_goes_and_a_project_stays() {
    let used = Used::new(0);
    let found = survey(&used.place).await.expect("looks");
    let sized =
        |kind: Kind| found.items.iter().filter(|it| it.kind == kind).map(|it| it.size_bytes).sum::<u64>();
    assert_eq!(sized(Kind::Frame), "the agent's".len() as u64);
    assert!(sized(Kind::Home) > 20, "{found:?}");
    assert!(found.stays.iter().any(|line| line.contains("target/release/mimir")), "{found:?}");
    used.take_all().await;
    // An engine's own settings of root are nobody's that setup wrote for a user.
    let left = [
        "me/.config/containers/storage.conf",
        "me/.local/share/man/man1/mimirs-own.1",
        "me/blog/README.md",
        "me/src/mimir/target/release/mimir",
        "proc/ports",
    ];
    assert_eq!(used.files(), left);
    assert_eq!(fs::read_to_string(used.at("proc/ports")).expect("there"), "8080\n");
    assert!(!used.place.home.exists() && !used.at("run/mimir").exists());
    let again = survey(&used.place).await.expect("looks");
    assert_eq!(again.items, []);
}

#[tokio::test]
async fn without_root_the_systems_files_are_commands_to_type() {
    let used = Used::new(4711);
    let found = survey(&used.place).await.expect("looks");
    let command =
        |file: &str| format!("sudo rm {}   # if nobody else here runs mimir", used.at(file).display());
    let expected =
        [command("etc/containers/containers.conf.d/50-mimir.conf"), command("etc/sysctl.d/50-mimir.conf")];
    assert_eq!(found.by_hand, expected);
    used.take_all().await;
    assert!(used.at("etc/sysctl.d/50-mimir.conf").exists());
    // Nobody can say whether the store is used: it keeps its description.
    assert!(used.at("me/.config/containers/storage.conf").exists());
}

#[tokio::test]
async fn a_run_that_was_killed_anywhere_is_gone_on_with() {
    let whole = survey(&Used::new(0).place).await.expect("looks").items.len();
    assert!(whole > 6, "{whole}");
    for killed_after in 0..whole {
        let used = Used::new(0);
        let found = survey(&used.place).await.expect("looks");
        let begun = found.items.into_iter().take(killed_after).collect();
        take(&used.place, begun, |_| {}).await;
        used.take_all().await;
        assert_eq!(survey(&used.place).await.expect("looks").items, [], "after {killed_after}");
        assert!(!used.place.home.exists());
    }
    // In the middle of the home itself, which goes last: what marks it is still there.
    let used = Used::new(0);
    for name in ["mimir.db", "mimir.db-wal", "gateway.token", "config.yaml"] {
        fs::remove_file(used.place.home.join(name)).expect("removed");
    }
    used.take_all().await;
    assert!(!used.place.home.exists());
}

#[tokio::test]
async fn a_folder_that_is_no_home_is_refused_and_strangers_in_a_home_stay() {
    let mut used = Used::new(0);
    used.place.home = used.at("me/blog");
    let refused = survey(&used.place).await;
    assert!(matches!(refused, Err(Refused::NotAHome(_))), "{refused:?}");

    let used = Used::new(0);
    write(&used.place.home.join("notes.txt"), "mine");
    write(&used.place.home.join("frames/mine/x"), "mine");
    // Names that other programs use too: of these folders only what mimir writes goes.
    write(&used.place.home.join("backups/photos.tar"), "mine");
    write(&used.place.home.join("config.yaml-prod"), "mine");
    write(&used.place.home.join("git/mimirs-own/HEAD"), "mine");
    write(&used.place.home.join("workflows/changes.yaml"), &EXAMPLE.replace("changes", "mine"));
    let found = survey(&used.place).await.expect("looks");
    let stays = found.stays.join("\n");
    assert!(stays.contains("notes.txt: mimir did not make it") && stays.contains("frames/mine"), "{stays}");
    used.take_all().await;
    let left: Vec<String> = used.files().into_iter().filter(|path| path.starts_with("me/.mimir")).collect();
    let mine = [
        "backups/photos.tar",
        "config.yaml-prod",
        "frames/mine/x",
        "git/mimirs-own/HEAD",
        "notes.txt",
        "workflows/changes.yaml",
    ];
    assert_eq!(left, mine.map(|name| format!("me/.mimir/{name}")));
}

/// Root sees only its own containers; what setup wrote for the machine is everybody's.
#[tokio::test]
async fn the_machines_settings_stay_while_another_user_has_a_home() {
    let used = Used::new(0);
    write(&used.at("you/.mimir/gateway.lock"), "");
    let users = format!(
        "root:x:0:0::{}:/bin/sh\nyou:x:1000:1000::{}:/bin/sh\n",
        used.at("me").display(),
        used.at("you").display()
    );
    write(&used.at("etc/passwd"), &users);
    let found = survey(&used.place).await.expect("looks");
    assert!(found.stays.iter().any(|line| line.contains("50-mimir.conf: another user")), "{:?}", found.stays);
    used.take_all().await;
    assert!(used.at("etc/sysctl.d/50-mimir.conf").exists());
    assert!(used.at("etc/containers/containers.conf.d/50-mimir.conf").exists());
}

/// One home of several: the service, the program and the pages are those of the usual one.
#[tokio::test]
async fn what_another_home_uses_stays() {
    let mut used = Used::new(0);
    used.place.home = used.at("me/.mimir-test");
    write(&used.place.home.join("mimir.db"), "x");
    used.place.database = used.place.home.join("mimir.db");
    let found = survey(&used.place).await.expect("looks");
    let stays = found.stays.join("\n");
    assert!(stays.contains("mimir.service: it serves another home"), "{stays}");
    assert!(stays.contains("the home ~/.mimir uses it"), "{stays}");
    assert!(found.by_hand.iter().any(|command| command.contains("50-mimir.conf")), "{:?}", found.by_hand);
    used.take_all().await;
    for file in ["me/.config/systemd/user/mimir.service", "me/.local/share/man/man1/mimir-frame.1.gz"] {
        assert!(used.at(file).exists(), "{file}");
    }
    assert!(fs::symlink_metadata(used.at("me/.local/bin/mimir")).is_ok() && !used.place.home.exists());
}

#[tokio::test]
async fn no_link_is_followed_out_of_mimirs_folders() {
    let used = Used::new(0);
    let home = &used.place.home;
    write(&used.at("precious/file"), "x");
    let precious = used.at("precious");
    symlink(&precious, home.join(format!("frames/{FRAME}/home/link"))).expect("a link");
    symlink(&precious, home.join("frames/frm_01m8kym0t7s07f1cnds0af4kst")).expect("a link");
    fs::remove_dir_all(home.join("backups")).expect("removed");
    symlink(&precious, home.join("backups")).expect("a link");
    fs::remove_file(home.join("known_gateways")).expect("removed");
    symlink(precious.join("file"), home.join("known_gateways")).expect("a link");
    fs::remove_dir_all(&used.place.runtime).expect("removed");
    symlink(&precious, &used.place.runtime).expect("a link");
    used.take_all().await;
    assert_eq!(fs::read_to_string(precious.join("file")).expect("there"), "x");

    // Frames that were put on another disk: the folder there is not ours to empty.
    let used = Used::new(0);
    fs::rename(used.place.home.join("frames"), used.at("disk")).expect("moved");
    symlink(used.at("disk"), used.place.home.join("frames")).expect("a link");
    used.take_all().await;
    assert!(used.at(&format!("disk/{FRAME}/home/kept")).exists());
}

#[tokio::test]
async fn what_somebody_changed_stays() {
    let used = Used::new(4711);
    write(&used.at("me/.config/containers/storage.conf"), "[storage]\ndriver = \"overlay\"\n\n");
    write(&used.at("me/.config/systemd/user/mimir.service"), "[Service]\nExecStart=/usr/bin/other\n");
    write(&used.at("etc/sysctl.d/50-mimir.conf"), "# mine\n");
    fs::remove_file(used.at("me/.local/bin/mimir")).expect("removed");
    write(&used.at("me/.local/bin/mimir"), "another program");
    let found = survey(&used.place).await.expect("looks");
    let stays = found.stays.join("\n");
    for file in ["systemd/user/mimir.service", "sysctl.d/50-mimir.conf", ".local/bin/mimir"] {
        assert!(stays.contains(file), "{file}: {stays}");
    }
    used.take_all().await;
    for file in ["me/.config/systemd/user/mimir.service", "me/.local/bin/mimir", "etc/sysctl.d/50-mimir.conf"]
    {
        assert!(used.at(file).exists(), "{file}");
    }
}

#[tokio::test]
async fn what_builds_left_goes_when_none_of_them_can_run_any_more() {
    let mut used = Used::new(rustix::process::getuid().as_raw());
    for (path, text) in [
        ("var/tmp/mimir-build-0123/Containerfile", "FROM x\nLABEL io.mimir.project=\"ab\"\n"),
        ("var/tmp/mimir-build-notes/x", "a person's own"),
        ("var/tmp/somebody-else/x", "x"),
    ] {
        write(&used.at(path), text);
    }
    let scratch = |found: Survey| found.items.into_iter().filter(|it| it.kind == Kind::Scratch).count();
    assert_eq!(scratch(survey(&used.place).await.expect("looks")), 0, "it may run");
    let later = used.place.clock.now_ms() + 3 * 3_600_000;
    used.place.clock = Clock::manual(later);
    assert_eq!(scratch(survey(&used.place).await.expect("looks")), 1);
    used.take_all().await;
    assert!(!used.at("var/tmp/mimir-build-0123").exists() && used.at("var/tmp/somebody-else/x").exists());
    assert!(used.at("var/tmp/mimir-build-notes/x").exists(), "it is only called so");
}

/// What other programs may live by is named, and a person decides.
#[tokio::test]
async fn what_setup_and_scripts_changed_for_others_too_is_named() {
    const LINGER: &str = "sudo loginctl disable-linger me   # if nothing else of yours needs it";
    let mut used = Used::new(4711);
    let is_typed = |found: &Survey| found.by_hand.iter().any(|command| command == LINGER);
    let before = survey(&used.place).await.expect("looks");
    let stays = before.stays.join("\n");
    assert!(!before.by_hand.iter().any(|command| command.contains("linger")), "{:?}", before.by_hand);
    assert!(!stays.contains("subgid") && !stays.contains("packages") && !stays.contains(".cache"), "{stays}");

    let users =
        format!("root:x:0:0::/nonexistent:/bin/sh\nme:x:4711:4711::{}:/bin/sh\n", used.at("me").display());
    write(&used.at("etc/passwd"), &users);
    write(&used.at("etc/subuid"), "you:100000:65536\nme:165536:65536\n");
    write(&used.at("etc/debian_version"), "12.5\n");
    write(&used.at("linger/me"), "");
    write(&used.at("me/.cache/mimir/frame-0123456789abcdef.tar"), "an archive");
    let found = survey(&used.place).await.expect("looks");
    assert!(is_typed(&found), "{:?}", found.by_hand);
    let stays = found.stays.join("\n");
    for words in
        ["the ids for me in", "etc/subuid and subgid", "Debian's packages", ".cache/mimir: 10 B that"]
    {
        assert!(stays.contains(words), "{words}: {stays}");
    }
    // The home that stays needs it.
    let named = used.at("me/.mimir-test");
    write(&named.join("mimir.db"), "x");
    let usual = std::mem::replace(&mut used.place.home, named);
    assert!(!is_typed(&survey(&used.place).await.expect("looks")));
    used.place.home = usual;
    used.take_all().await;
    for file in ["linger/me", "etc/subuid", "me/.cache/mimir/frame-0123456789abcdef.tar"] {
        assert!(used.at(file).exists(), "{file}");
    }

    // Of root's nothing was lent, and nothing of it ends with a session.
    used.place.uid = 0;
    let of_root = survey(&used.place).await.expect("looks");
    assert!(!is_typed(&of_root) && !of_root.stays.iter().any(|line| line.contains("subuid")), "{of_root:?}");
}

#[tokio::test]
async fn with_keep_data_the_home_stays_whole() {
    let mut used = Used::new(0);
    used.place.keep_data = true;
    let before: Vec<String> = used.files().into_iter().filter(|path| path.starts_with("me/.mimir")).collect();
    used.take_all().await;
    let after: Vec<String> = used.files().into_iter().filter(|path| path.starts_with("me/.mimir")).collect();
    assert_eq!(before, after);
    assert!(!used.place.runtime.exists());
    assert!(used.place.keyring.as_ref().expect("one").get().expect("asked").is_some(), "its key stays, too");
}

#[test]
fn without_a_terminal_nothing_goes_unless_it_is_said() {
    let mut world = World::new();
    world.configure("{}");
    let home = world.paths().home().to_owned();
    // A configuration alone marks no home.
    let refused = world.run(&["uninstall", "--yes"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("does not look like a home of mimir's"), "{refused:?}");
    write(&home.join("mimir.db"), "damaged");
    let refused = world.run(&["uninstall"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("nobody can be asked") && refused.stderr.contains("--dry-run"),
        "{refused:?}"
    );
    let shown = world.run(&["uninstall", "--dry-run", "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let report: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(report["dry_run"], true);
    let items = report["items"].as_array().expect("a list");
    let home_item = items.iter().find(|item| item["kind"] == "home").expect("the home");
    assert_eq!(
        (&home_item["what"], &home_item["outcome"]),
        (&home.display().to_string().into(), &"found".into())
    );
    let text = world.run(&["uninstall", "--dry-run"]);
    assert!(text.code == 0 && text.stdout.contains(" together"), "{text:?}");
    assert!(home.join("mimir.db").exists() && home.join("config.yaml").exists(), "nothing was removed");
    world.set("MIMIR_HOME", "/usr/share");
    assert_eq!(world.run(&["uninstall", "--yes"]).code, 2);
}

#[test]
fn setup_without_the_repository_says_what_its_script_says() {
    let world = World::new();
    let of_script = std::process::Command::new("bash")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/setup"), "--check", "--run-only"])
        .env_clear()
        .envs(world.env())
        .output()
        .expect("runs");
    let ran = world.run(&["setup", "--check"]);
    assert_eq!(Some(ran.code), of_script.status.code(), "{ran:?}");
    assert_eq!(ran.stdout, String::from_utf8_lossy(&of_script.stdout));
    let nobody = world.run(&["setup", "--check", "--user", "nobody-of-that-name"]);
    assert_eq!(nobody.code, 64, "{nobody:?}");
    let json = world.run(&["setup", "--check", "--json"]);
    let ended: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(ended["exit_code"], json.code);
    assert!(json.stderr.contains("What mimir needs on this machine") || json.code == 69, "{json:?}");
}

/// What mimir runs without is left out where nobody may be root, without a question to anybody.
#[test]
fn setup_leaves_out_what_needs_root_and_is_not_needed() {
    use std::process::{Command, Stdio};
    const SCRIPT: &str = include_str!("../../scripts/setup");
    // Behind every step, and before the first of them is taken.
    const BEGIN: &str = "if ! command -v apt-get >/dev/null; then";
    const STUBS: &str = r#"
        id() { echo 1000; }
        sudo() { return 1; }
        command() { case ${2-} in sudo) return 1 ;; apt-get) return 0 ;; *) builtin command "$@" ;; esac; }
    "#;
    assert_eq!(SCRIPT.matches(BEGIN).count(), 1);
    let run = |steps: &str, words: &[&str]| {
        let begin = format!("{STUBS}\nall_steps() {{ {steps}; }}\n{BEGIN}");
        let ran = Command::new("bash")
            .args(["-c", &SCRIPT.replace(BEGIN, &begin), "setup", "--run-only"])
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (ran.status.code(), said.join("\n"))
    };
    let ports = "better 'keep ports' false";
    let (code, said) = run(ports, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Left out, as mimir runs without it: keep ports. As root, later"), "{said}");
    let (code, said) = run(ports, &["--check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("only what mimir runs without"), "{said}");
    // With something that it needs.
    let needed = format!("{ports}; todo 'install packages' false");
    let (code, said) = run(&needed, &["--check"]);
    assert!(code == Some(1) && said.contains("2 thing(s) to do. Nothing"), "{code:?}: {said}");
    let (code, said) = run(&needed, &["--yes"]);
    assert!(code == Some(77) && said.contains("there is no sudo. As root, run"), "{code:?}: {said}");
    // And with something that can be done.
    let possible = format!("{ports}; todo_as user 'write a file' true");
    let (code, said) = run(&possible, &["--yes"]);
    assert!(
        code == Some(0) && said.contains("...   write a file") && said.contains("Ready."),
        "{code:?}: {said}"
    );
}

/// A shell of `sudo -iu NAME` still carries the name of whoever called it.
#[test]
fn setup_believes_sudo_only_where_it_made_us_root() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};
    const SCRIPT: &str = include_str!("../../scripts/setup");

    // Who it is about is its first line; what it would ask these two is not of this test.
    let tools = tempfile::tempdir().expect("a folder");
    for program in ["podman", "sudo"] {
        write(&tools.path().join(program), "#!/bin/sh\nexit 1\n");
        fs::set_permissions(tools.path().join(program), fs::Permissions::from_mode(0o755)).expect("set");
    }
    fs::set_permissions(tools.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools.path().display());
    let first_line = |words: &[&str], sudo_user: &str| {
        let (program, rest) = words.split_first().expect("a command");
        let ran = Command::new(program)
            .args(rest)
            .args(["-c", SCRIPT, "setup", "--check", "--run-only"])
            .env_clear()
            .envs([("PATH", path.as_str()), ("HOME", "/nonexistent"), ("SUDO_USER", sudo_user)])
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&ran.stdout).lines().next().unwrap_or_default().to_owned();
        (ran.status.code() != Some(69)).then_some((said, String::from_utf8_lossy(&ran.stderr).into_owned()))
    };
    let about = |user: &str| format!("What mimir needs on this machine (user {user}):");
    let is_root = rustix::process::geteuid().is_root();
    let ordinary: &[&str] = if is_root { &["runuser", "-u", "nobody", "--", "bash"] } else { &["bash"] };
    let Some((said, trouble)) = first_line(ordinary, "root") else {
        let test = "setup_believes_sudo_only_where_it_made_us_root";
        return crate::podman::support::skip(test, "this is not a Debian machine");
    };
    let id = Command::new("id").arg("-un").output().expect("runs");
    let me = String::from_utf8_lossy(&id.stdout).trim().to_owned();
    assert_eq!(said, about(if is_root { "nobody" } else { me.as_str() }), "{trouble}");
    if is_root {
        let (said, trouble) = first_line(&["bash"], "nobody").expect("a Debian machine");
        assert_eq!(said, about("nobody"), "{trouble}");
    }
}
