//! The configuration: layers, origins, mistakes with their place, and changes that keep comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mimir::config::error::{ConfigError, ConfigProblem};
use mimir::config::frame_file::FrameFile;
use mimir::config::keys::{self, CONFIG, Owner};
use mimir::config::provider::ModelEntry;
use mimir::config::schema::{Tls, TokenSource};
use mimir::config::{
    Config, FlagValue, LoadOptions, Loaded, Origin, Paths, Running, edit, env, json_schema, paths,
    project_file,
};
use mimir::model::forge::App;
use mimir::model::git::ForgeKind;
use mimir::model::network::NetworkMode;

struct Home {
    folder: tempfile::TempDir,
    options: LoadOptions,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("the home");
        let paths = Paths::new(&home, folder.path().join("run"));
        let env = BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]);
        Self { options: LoadOptions { paths, env, flags: Vec::new() }, folder }
    }

    fn with(text: &str) -> Self {
        let home = Self::new();
        fs::write(home.options.paths.config_file(), text).expect("written");
        home
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.options.env.insert(name.into(), value.into());
        self
    }

    fn load(&self) -> Loaded {
        Config::load(&self.options).expect("a good configuration")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.options.paths.config_file()).expect("the file")
    }

    /// The mistakes, with the home's path left out.
    fn mistakes(&self) -> Vec<String> {
        let error = Config::load(&self.options).expect_err("a mistake");
        self.lines(&error)
    }

    fn lines(&self, error: &ConfigError) -> Vec<String> {
        let prefix = format!("{}/", self.options.paths.home().display());
        error.to_string().lines().map(|line| line.replace(&prefix, "")).collect()
    }
}

fn origin_of(loaded: &Loaded, key: &str) -> String {
    let rows = loaded.rows_at(key);
    assert_eq!(rows.len(), 1, "{key}: {rows:?}");
    rows[0].origin.to_string()
}

#[test]
fn without_a_file_everything_is_built_in_and_the_demo_answers() {
    let home = Home::new();
    let loaded = home.load();
    let config = &loaded.config;
    assert_eq!(config.server.http_port, Some(8080));
    assert_eq!(config.database.path, home.options.paths.database());
    assert_eq!(config.frames.ports.to_string(), "33000-34000");
    assert_eq!(config.frames.limits.memory_bytes, 4 << 30);
    assert!(config.database.encryption_key.is_none());
    assert!(config.engine.socket.is_none());
    assert_eq!(config.default_model().to_string(), "demo/demo");
    assert_eq!(config.small_model().to_string(), "demo/demo");
    assert!(loaded.rows().iter().all(|row| row.origin == Origin::BuiltIn), "{:?}", loaded.rows());
}

#[test]
fn an_empty_file_and_one_of_comments_change_nothing() {
    for text in ["", "\n", "# nothing yet\n", "frames:\n", "server:\n  http_port:\n"] {
        let home = Home::with(text);
        assert_eq!(home.load().config.server.http_port, Some(8080), "{text:?}");
    }
}

#[test]
fn later_layers_win_and_every_value_knows_its_place() {
    let mut home = Home::with(
        "server:\n  http_port: 9000\nframes:\n  limits: {cpus: 1.5, memory: 2g}\n  network: sealed\n",
    )
    .env("MIMIR_FRAMES_NETWORK", "open")
    .env("MIMIR_FRAMES_ALLOW", "npm, example.org")
    .env("MIMIR_FRAMES_LIMITS_PIDS", "");
    home.options.flags =
        vec![FlagValue { flag: "--http-port".into(), key: "server.http_port".into(), value: "off".into() }];
    let loaded = home.load();
    let config = &loaded.config;
    assert_eq!(config.server.http_port, None);
    assert_eq!(config.frames.network, NetworkMode::Open);
    assert_eq!(config.frames.allow, ["npm", "example.org"]);
    assert_eq!(config.frames.limits.cpus_milli, 1500);
    assert_eq!(config.frames.limits.memory_bytes, 2 << 30);
    assert_eq!(config.frames.limits.pids, 1024, "an empty variable sets nothing");

    let file = home.options.paths.config_file();
    assert_eq!(origin_of(&loaded, "server.http_port"), "--http-port");
    assert_eq!(origin_of(&loaded, "frames.network"), "MIMIR_FRAMES_NETWORK");
    assert_eq!(origin_of(&loaded, "frames.limits.memory"), format!("{}:4", file.display()));
    assert_eq!(origin_of(&loaded, "frames.limits.pids"), "built in");
}

#[test]
fn an_unknown_key_names_the_nearest_one_with_file_and_line() {
    let home = Home::with("server:\n  htp_port: 1\nframs:\n  image: x\nframes:\n  memory: 4g\n  xyzzy: 1\n");
    assert_eq!(
        home.mistakes(),
        [
            "config.yaml:2: there is no key `server.htp_port`; did you mean `server.http_port`?",
            "config.yaml:3: there is no key `frams`; did you mean `frames`?",
            "config.yaml:6: there is no key `frames.memory`; did you mean `frames.limits.memory`?",
            "config.yaml:7: there is no key `frames.xyzzy`",
        ]
    );
}

#[test]
fn values_that_do_not_fit_are_all_told_at_once() {
    let home = Home::with(
        "server: {http_port: 99999, bind: 0.0.0.0}\nframes:\n  network: closed\n  ports: 5-6\n  allow: npm\n  limits:\n    cpus: many\n    memory: 1\n    pids: 1\n  throwaway_ttl: 2\n  image: ''\nengine: podman\ndatabase:\n  path: here.db\n",
    );
    let mistakes = home.mistakes();
    for expected in [
        "config.yaml:1: `server.http_port` must be a port from 1 to 65535, or off, not `99999`",
        "config.yaml:3: `frames.network` must be sealed, allow or open, not `closed`",
        "config.yaml:4: `frames.ports` must be a range such as 33000-34000, from 1024 up, at least two ports, not `5-6`",
        "config.yaml:5: `frames.allow` must be a list",
        "config.yaml:7: `frames.limits.cpus` must be a number of cores such as 1.5, from 0.1 to 1024, not `many`",
        "config.yaml:8: `frames.limits.memory` must be at least 512m, not `1`",
        "config.yaml:9: `frames.limits.pids` must be a whole number from 64 to 4194304, not `1`",
        "config.yaml:10: `frames.throwaway_ttl` must be a time such as 90s, 15m or 2h, not `2`",
        "config.yaml:11: `frames.image` must not be empty",
        "config.yaml:12: `engine` must have keys below it",
        "config.yaml:14: `database.path` must be an absolute path or begin with ~/, not `here.db`",
    ] {
        assert!(mistakes.iter().any(|line| line == expected), "no `{expected}` in\n{}", mistakes.join("\n"));
    }
    assert_eq!(mistakes.len(), 11, "{}", mistakes.join("\n"));
}

#[test]
fn a_misspelt_group_of_hosts_is_no_host_and_the_nearest_group_is_named() {
    let home = Home::with("frames:\n  allow:\n    - npm\n    - npmm\n");
    let mistakes = home.mistakes().join("\n");
    assert!(mistakes.starts_with("config.yaml:2: `frames.allow`"), "{mistakes}");
    assert!(mistakes.contains("`npmm` is neither a group"), "{mistakes}");
    assert!(mistakes.contains("did you mean `npm`?"), "{mistakes}");
}

#[test]
fn what_other_machines_can_reach_needs_tls() {
    let home = Home::with("server: {bind: 0.0.0.0}\n");
    assert!(home.mistakes()[0].contains("needs TLS"), "{:?}", home.mistakes());
    let home = Home::with("server: {bind: 0.0.0.0, tls: {auto: on}, hosts: [Gate.example, \"far:9000\"]}\n");
    let server = home.load().config.server;
    assert_eq!(
        (server.tls, server.hosts),
        (Some(Tls::Made), vec!["gate.example".to_owned(), "far:9000".into()])
    );
    let home = Home::with("server: {tls: {cert: /c.pem, key: /k.pem}}\n");
    let own = Tls::Own { cert: "/c.pem".into(), key: "/k.pem".into() };
    assert_eq!(home.load().config.server.tls, Some(own));
    let half = Home::with("server: {tls: {cert: /c.pem}}\n");
    assert!(half.mistakes()[0].contains("server.tls.key"), "{:?}", half.mistakes());
    let bad = Home::with("server: {hosts: [\"https://gate.example\"]}\n");
    assert!(bad.mistakes()[0].contains("gate.example:8443"), "{:?}", bad.mistakes());
    let home = Home::with("server: {bind: \"::1\"}\n");
    assert!(home.load().config.server.bind.is_ipv6());
}

#[test]
fn yaml_mistakes_have_a_line() {
    for (text, line) in [
        ("server:\n  http_port: [\n", "config.yaml:"),
        ("server: {}\nserver: {}\n", "config.yaml:2:"),
        ("- a\n- b\n", "config.yaml:1: expected keys and values"),
        ("just words\n", "config.yaml:1: expected keys and values"),
        ("a: &x [1]\nb: *y\n", "config.yaml:2:"),
    ] {
        let mistakes = Home::with(text).mistakes();
        assert!(mistakes[0].starts_with(line), "{text:?}: {mistakes:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_the_defaults() {
    let home = Home::new();
    fs::create_dir(home.options.paths.config_file()).expect("a folder in its place");
    assert!(home.mistakes()[0].starts_with("cannot read config.yaml: "), "{:?}", home.mistakes());
    let home = Home::new();
    fs::write(home.options.paths.config_file(), [0xff, 0xfe, 0x00]).expect("written");
    assert_eq!(home.mistakes(), ["cannot read config.yaml: it is not UTF-8 text"]);
}

#[test]
fn variables_are_replaced_and_a_missing_one_is_named_with_key_file_and_line() {
    let text = "providers:\n  anthropic:\n    key: ${MY_KEY}\ndatabase:\n  path: ~/db/mimir.db\n";
    assert_eq!(
        Home::with(text).mistakes(),
        ["config.yaml:3: `providers.anthropic.key` needs the environment variable MY_KEY, which is not set"]
    );
    let loaded = Home::with(text).env("MY_KEY", "0123e45").load();
    let provider = &loaded.config.providers["anthropic"];
    assert_eq!(provider.key.as_ref().map(|key| key.reveal()), Some("0123e45"));
    assert_eq!(loaded.config.database.path, Path::new("/home/u/db/mimir.db"));
    assert_eq!(loaded.config.default_model().to_string(), "anthropic/claude-sonnet-4-20250514");
}

#[test]
fn a_variable_that_another_layer_overrides_is_not_missed() {
    let home =
        Home::with("database: {encryption_key: \"${NOT_SET}\"}\n").env("MIMIR_DATABASE_ENCRYPTION_KEY", "k");
    assert_eq!(home.load().config.database.encryption_key.as_ref().map(|key| key.reveal()), Some("k"));
}

#[test]
fn a_key_of_digits_stays_as_it_was_written() {
    for key in
        ["0123456789", "007", "1e5", "0x10", "123_456", "true", "1234567890123456789012345678901234567890"]
    {
        let home = Home::with(&format!("database:\n  encryption_key: {key}  # comment\n"));
        let loaded = home.load();
        assert_eq!(
            loaded.config.database.encryption_key.as_ref().map(|key| key.reveal()),
            Some(key),
            "{key}"
        );
    }
}

#[test]
fn the_database_key_comes_from_its_own_variable() {
    let loaded = Home::new().env("MIMIR_DB_KEY", "correct horse").load();
    assert_eq!(loaded.config.database.encryption_key.as_ref().map(|key| key.reveal()), Some("correct horse"));
}

#[test]
fn secrets_are_dots_wherever_a_configuration_is_shown() {
    let home = Home::with("providers:\n  anthropic: {key: sk-planted}\n  local: {kind: ollama, key: ''}\n")
        .env("MIMIR_DB_KEY", "sk-planted-too");
    let loaded = home.load();
    let shown = format!("{:?}", loaded.rows());
    assert!(!shown.contains("sk-planted"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("sk-planted"));
    let rows = loaded.rows_at("providers.anthropic.key");
    assert_eq!(rows[0].value, "•••");
    assert_eq!(loaded.rows_at("providers.local.key")[0].value, "");
}

#[test]
fn a_slip_in_a_variable_is_an_error_and_foreign_ones_are_left_alone() {
    let home =
        Home::new().env("MIMIR_FRAMES_NETWROK", "open").env("MIMIR_LOG", "debug").env("MIMIR_FRAME_ID", "x");
    assert_eq!(
        home.mistakes(),
        [
            "MIMIR_FRAMES_NETWROK: there is no key `MIMIR_FRAMES_NETWROK`; did you mean `MIMIR_FRAMES_NETWORK`?"
        ]
    );
    let home = Home::new().env("MIMIR_FRAMES_NETWORK", "shut");
    assert_eq!(
        home.mistakes(),
        ["MIMIR_FRAMES_NETWORK: `frames.network` must be sealed, allow or open, not `shut`"]
    );
}

#[test]
fn providers_know_their_kind_by_name_or_must_say_it() {
    let text = "providers:\n  local: {kind: openai-compatible, base_url: 'http://127.0.0.1:8000/v1', models: [qwen, {id: big, context: 32768}]}\n  ollama: {}\nopencode: {default_model: local/qwen}\n";
    let config = Home::with(text).load().config;
    assert_eq!(config.providers["ollama"].kind, "ollama");
    assert!(config.providers["ollama"].is_usable() && !config.providers["openai"].is_usable());
    assert_eq!(
        config.providers["local"].models,
        [
            ModelEntry { id: "qwen".into(), name: None, context: None, output: None },
            ModelEntry { id: "big".into(), name: None, context: Some(32768), output: None },
        ]
    );
    assert_eq!(config.default_model().to_string(), "local/qwen");

    for (text, mistake) in [
        ("providers: {mine: {key: x}}\n", "`providers.mine` needs `kind`"),
        ("providers: {mine: {kind: openai-compatible}}\n", "`providers.mine` needs `base_url`"),
        ("providers: {demo: {kind: ollama}}\n", "`providers.demo` needs another name"),
        ("providers: {mine: {kind: openia}}\n", "`providers.mine.kind` must be anthropic, openai"),
        (
            "providers: {mine: {kind: ollama, base_url: 'ftp://x'}}\n",
            "`providers.mine.base_url` must be an address",
        ),
        ("providers: {mine: {kind: ollama, kye: x}}\n", "did you mean `providers.mine.key`?"),
        (
            "providers: {mine: {kind: ollama, models: [{name: x}]}}\n",
            "`providers.mine.models[0].id` is missing",
        ),
        ("opencode: {default_model: anthropic/x}\n", "needs providers.anthropic.key, which is not set"),
        ("opencode: {default_model: nobody/x}\n", "names the provider nobody; there are anthropic"),
        ("opencode: {default_model: x}\n", "must be provider/model"),
    ] {
        let mistakes = Home::with(text).mistakes();
        assert!(mistakes[0].contains(mistake), "{text}: {mistakes:?}");
    }
}

#[test]
fn a_model_of_a_provider_without_key_is_chosen_before_the_demo() {
    let config = Home::with("providers: {ollama: {models: [llama3]}}\n").load().config;
    assert_eq!(config.default_model().to_string(), "ollama/llama3");
}

#[test]
fn a_forge_is_opened_by_an_app_or_by_one_other_thing() {
    let text = "git:\n  hosts: ['gitea:https://git.example.org']\n  credentials:\n    - {host: github.com, app: {id: 77, key_file: ~/app.pem, installation: 9}}\n";
    let config = Home::with(text).load().config;
    assert_eq!(config.git.hosts[0].kind, Some(ForgeKind::Gitea));
    let app = App { id: "77".to_owned(), key_file: PathBuf::from("/home/u/app.pem"), installation: Some(9) };
    assert_eq!(config.git.credentials[0].source, TokenSource::App(app));

    for (entry, mistake) in [
        ("{host: github.com, app: {id: 77}}", "`git.credentials[0].app` needs both id and key_file"),
        ("{host: github.com, app: {installation: 9}}", "needs both id and key_file"),
        ("{host: github.com, app: {id: 77, key_file: /k, key: x}}", "app.key`"),
        ("{host: github.com, helper: on, app: {id: 77, key_file: /k}}", "says more than one of token"),
        ("{host: codeberg.org, app: {id: 77, key_file: /k}}", "is a thing of GitHub's"),
    ] {
        let mistakes = Home::with(&format!("git:\n  credentials:\n    - {entry}\n")).mistakes();
        assert!(mistakes[0].contains(mistake), "{entry}: {mistakes:?}");
    }
}

#[test]
fn projects_are_named_folders() {
    let config = Home::with("projects:\n  - name: my-api\n    path: ~/src/my-api\n").load().config;
    assert_eq!(config.projects[0].path, Path::new("/home/u/src/my-api"));
    let mistakes = Home::with("projects:\n  - name: My API\n    path: /x\n").mistakes();
    assert!(mistakes[0].starts_with("config.yaml:2: `projects.[].name` must be 1 to 40"), "{mistakes:?}");
    let mistakes = Home::with("projects:\n  - name: x\n").mistakes();
    assert!(mistakes[0].contains("`projects[0].path` is missing"), "{mistakes:?}");
    let mistakes = Home::with("projects: {a: b}\n").mistakes();
    assert!(mistakes[0].contains("`projects` must be a list"), "{mistakes:?}");
}

#[test]
fn who_may_tell_us_something_is_somebody_and_signs_with_a_secret() {
    let good = "webhooks:\n  sources:\n    errors: {kind: sentry, secret: 0123456789abcdef, organization: acme, token: t}\n    \
        forge: {kind: github, host: git.example.org}\n    other: {kind: generic, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, mapping: {id: /a/b}}\n  \
        rules:\n    - {source: errors, on: [issue.created], level: warning, workflow: fix, budget: 2.5, cooldown: 1h, catch_up: off}\n    - {source: forge, labels: [x], workflow: fix}\n";
    let config = Home::with(good).load().config.webhooks;
    assert_eq!(config.sources.keys().map(String::as_str).collect::<Vec<_>>(), ["errors", "forge", "other"]);
    assert_eq!(config.sources["other"].mapping.id.as_deref(), Some("/a/b"));
    let rule = &config.rules[0];
    assert_eq!(
        (rule.on.as_slice(), rule.budget_microusd, rule.limit),
        (&["issue.created".to_owned()][..], Some(2_500_000), 10)
    );
    assert_eq!((rule.cooldown.as_secs(), config.rules[1].cooldown.as_secs()), (3_600, 86_400));
    let taken = [rule.catch_up, config.rules[1].catch_up];
    assert_eq!(taken, [mimir::model::webhook::Untold::Off, mimir::model::webhook::Untold::Missed]);
    // As it was said when it was a switch.
    for word in ["on", "true"] {
        let before = good.replace("catch_up: off", &format!("catch_up: {word}"));
        let rules = Home::with(&before).load().config.webhooks.rules;
        assert_eq!(rules[0].catch_up, mimir::model::webhook::Untold::All, "{word}");
    }
    assert_eq!(config.rules[1].mention, "@mimir");
    let shown = Home::with(good).load().rows().into_iter().map(|row| row.value).collect::<String>();
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("whsec_"), "{shown}");

    let of = |source: &str| format!("webhooks: {{sources: {{x: {source}}}}}\n");
    for (text, mistake) in [
        (of("{secret: 0123456789abcdef}"), "`webhooks.sources.x.kind` is missing"),
        (of("{kind: gitlab}"), "`webhooks.sources.x.kind` must be sentry, github, generic"),
        (of("{kind: sentry, secret: short}"), "`webhooks.sources.x.secret` must have at least 16 characters"),
        (
            of("{kind: generic, previous_secret: whsec_AAAA}"),
            "`webhooks.sources.x.previous_secret` must be whsec_ and",
        ),
        (of("{kind: github, token: t}"), "`webhooks.sources.x.token` is for sources of kind sentry"),
        (of("{kind: sentry, token: t}"), "`webhooks.sources.x.organization` is needed with a token"),
        (of("{kind: sentry, organization: a/b}"), "must be a short name as it stands in addresses"),
        (
            of("{kind: sentry, mapping: {id: /a}}"),
            "`webhooks.sources.x.mapping` is for sources of kind generic",
        ),
        (of("{kind: generic, mapping: {id: a}}"), "must be a JSON pointer such as /data/title"),
        (of("{kind: generic, host: a.example}"), "`webhooks.sources.x.host` is for sources of kind github"),
        ("webhooks: {sources: {X: {kind: github}}}\n".to_owned(), "`webhooks.sources.X` needs another name"),
        (
            "webhooks: {rules: [{source: x, workflow: y}]}\n".to_owned(),
            "(rule 1) names the source x; there is none",
        ),
        (
            "webhooks: {sources: {a: {kind: sentry, organization: o}, b: {kind: sentry, organization: o}}}\n"
                .to_owned(),
            "`webhooks.sources.b.organization` is that of webhooks.sources.a as well",
        ),
    ] {
        let mistakes = Home::with(&text).mistakes();
        assert!(mistakes[0].contains(mistake), "{text}: {mistakes:?}");
    }
}

// --- changes ---------------------------------------------------------------------------------

const COMMENTED: &str = "# mine\nserver:\n  http_port: 9000   # because 8080 is taken\n\nframes:   # all of them\n  limits: {cpus: 2, memory: 4g}  # small machine\n  allow: [npm, github]   # enough\n  throwaway_ttl:\n\n# the end\n";

#[test]
fn setting_a_value_keeps_comments_and_order() {
    for (key, value, before, after) in [
        ("server.http_port", "9001", "http_port: 9000   #", "http_port: 9001   #"),
        ("frames.limits.memory", "8g", "memory: 4g}", "memory: 8g}"),
        ("frames.limits.pids", "99", "limits: {cpus", "limits: {pids: 99, cpus"),
        ("frames.allow", "npm,example.org", "allow: [npm, github]   #", "allow: [npm, example.org]   #"),
        ("frames.throwaway_ttl", "2h", "  throwaway_ttl:\n", "  throwaway_ttl: 2h\n"),
        (
            "frames.network",
            "sealed",
            "frames:   # all of them\n",
            "frames:   # all of them\n  network: sealed\n",
        ),
        (
            "opencode.default_model",
            "demo/demo",
            "# the end\n",
            "# the end\nopencode:\n  default_model: demo/demo\n",
        ),
    ] {
        let home = Home::with(COMMENTED);
        let changed = edit::set(&home.options, key, value).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(home.text(), COMMENTED.replacen(before, after, 1), "{key}");
        assert_eq!(changed.after, home.text());
        let rows = home.load().rows_at(key);
        assert_eq!(rows[0].value.replace(['[', ']', ' '], ""), value, "{key}");
    }
}

#[test]
fn setting_a_value_without_a_file_makes_one_for_us_alone() {
    let home = Home::new();
    edit::set(&home.options, "frames.limits.cpus", "1.5").expect("set");
    assert_eq!(home.text(), "frames:\n  limits:\n    cpus: 1.5\n");
    let mode = fs::metadata(home.options.paths.config_file()).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    edit::set(&home.options, "providers.anthropic.key", "${ANTHROPIC_API_KEY:-}").expect("set");
    assert!(home.text().contains("key: \"${ANTHROPIC_API_KEY:-}\""), "{}", home.text());
    let left: Vec<_> = fs::read_dir(home.options.paths.home()).expect("the home").flatten().collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
}

#[test]
fn a_change_that_would_break_the_configuration_is_not_written() {
    let home = Home::with(COMMENTED);
    for (key, value, mistake) in [
        ("frames.netwrok", "open", "did you mean `frames.network`?"),
        ("frames", "open", "there is no key `frames`"),
        ("frames.network", "shut", "must be sealed, allow or open"),
        ("opencode.default_model", "nobody/x", "names the provider nobody"),
        ("providers.anthropic.key", "${NOT_SET}", "NOT_SET, which is not set"),
        ("projects.[].name", "x", "there is no key"),
    ] {
        let error = edit::set(&home.options, key, value).expect_err(key);
        assert!(error.to_string().contains(mistake), "{key}: {error}");
        assert_eq!(home.text(), COMMENTED, "{key}");
    }
}

#[test]
fn values_that_yaml_would_misread_are_quoted() {
    let home = Home::new();
    for value in ["a: b", "#x", "x # y", "'", "\"", "- x", "{}", " lead", "a\\b", "ä"] {
        edit::set(&home.options, "frames.image", value).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(home.load().config.frames.image, value);
    }
}

#[test]
fn a_change_that_a_variable_hides_says_so() {
    let home = Home::new().env("MIMIR_FRAMES_NETWORK", "open");
    let changed = edit::set(&home.options, "frames.network", "sealed").expect("set");
    assert_eq!(changed.overridden_by.as_deref(), Some("MIMIR_FRAMES_NETWORK"));
}

#[test]
fn a_linked_configuration_stays_a_link() {
    let home = Home::new();
    let real = home.folder.path().join("dotfiles.yaml");
    fs::write(&real, "frames: {network: open}\n").expect("written");
    symlink(&real, home.options.paths.config_file()).expect("a link");
    edit::set(&home.options, "frames.network", "sealed").expect("set");
    assert_eq!(fs::read_to_string(&real).expect("the file"), "frames: {network: sealed}\n");
    assert!(home.options.paths.config_file().is_symlink());
}

// --- tables, files ---------------------------------------------------------------------------

#[test]
fn every_key_of_the_table_has_a_default_or_belongs_to_a_list_or_provider() {
    let loaded = Home::new().load();
    let set: BTreeSet<String> = loaded.rows().into_iter().map(|row| row.key).collect();
    for key in CONFIG.iter().filter(|key| !key.path.contains(['*', '['])) {
        assert!(set.contains(&key.path), "{} has no default", key.path);
        assert!(!key.about.is_empty() && env::variable_of(&key.path).starts_with("MIMIR_"), "{}", key.path);
    }
    for row in set {
        // Lists that are empty.
        let lists = [
            "projects",
            "schedules",
            "approvals.rules",
            "git.credentials",
            "notify.webhooks",
            "models.routes",
            "webhooks.rules",
        ];
        let is_list = lists.contains(&row.as_str());
        let in_table = keys::find(&CONFIG, &row).is_some() || is_list;
        assert!(in_table, "{row} is not in the table");
    }
}

#[test]
fn the_schema_in_the_repository_is_the_one_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let mut current = serde_json::to_string_pretty(&json_schema::schema()).expect("JSON");
    current.push('\n');
    if std::env::var_os("MIMIR_BLESS").is_some() {
        fs::write(&path, &current).expect("written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, current, "config/schema.json is old: run this test with MIMIR_BLESS=1");
}

#[test]
fn the_schema_knows_sections_lists_and_names() {
    let schema = json_schema::schema();
    let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/properties/frames/properties/limits/properties/pids/type"), "integer");
    assert_eq!(at("/properties/frames/additionalProperties"), false);
    assert_eq!(at("/properties/projects/type"), "array");
    assert_eq!(at("/properties/projects/items/properties/path/type"), "string");
    let provider = "/properties/providers/additionalProperties/properties";
    assert!(at(&format!("{provider}/kind/enum")).is_array());
    assert_eq!(at(&format!("{provider}/models/items/anyOf/1/properties/id/type")), "string");
}

#[test]
fn a_frame_file_is_read_whole() {
    let text = "name: blog\nworkspace: /src/blog\nimage: mine:1\nnetwork: allow\nallow: [npm, example.org]\nlimits: {cpus: 0.5, memory: 1g, pids: 64}\nenv:\n  NODE_ENV: test\n  PORT: 3000\n  EMPTY:\nthrowaway: on\nttl: 30m\nstart: yes\n";
    let file = FrameFile::parse(text, Path::new("frame.yaml")).expect("a frame file");
    assert_eq!(file.name.map(|name| name.to_string()).as_deref(), Some("blog"));
    assert_eq!(file.workspace, Some(PathBuf::from("/src/blog")));
    assert_eq!((file.cpus_milli, file.memory_bytes, file.pids), (Some(500), Some(1 << 30), Some(64)));
    let env: Vec<_> = file.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("EMPTY", ""), ("NODE_ENV", "test"), ("PORT", "3000")]);
    assert_eq!(
        (file.throwaway, file.ttl, file.start),
        (Some(true), Some(Duration::from_secs(1800)), Some(true))
    );
    assert_eq!(FrameFile::parse("", Path::new("f")).expect("empty"), FrameFile::default());
}

#[test]
fn mistakes_in_a_frame_file_have_their_line() {
    for (text, mistake) in [
        ("nmae: x\n", "frame.yaml:1: there is no key `nmae`; did you mean `name`?"),
        ("name: X\n", "frame.yaml:1: `name` must be 1 to 40"),
        ("\nenv: {1A: x}\n", "frame.yaml:2: `env.1A` must be a name such as NODE_ENV"),
        ("env: {A: \"x\\ny\"}\n", "frame.yaml:1: `env.A` must be one line"),
        ("workspace: ./x\n", "frame.yaml:1: `workspace` must be an absolute path"),
        ("workspace: /x\nproject: y\n", "frame.yaml:2: `project` cannot stand beside `workspace`"),
        ("mounts: [/etc]\n", "frame.yaml:1: there is no key `mounts`"),
        ("ttl: soon\n", "frame.yaml:1: `ttl` must be a time"),
    ] {
        let error = FrameFile::parse(text, Path::new("frame.yaml")).expect_err(text).to_string();
        assert!(error.starts_with(mistake), "{text}: {error}");
    }
}

#[test]
fn a_frame_file_cannot_read_the_gateways_environment() {
    let file = FrameFile::parse("env: {A: '${HOME}'}\n", Path::new("f")).expect("a frame file");
    assert_eq!(file.env["A"], "${HOME}");
}

#[test]
fn a_projects_own_file_shapes_the_inside_and_nothing_else() {
    let text = "image: node:22\nmodel: anthropic/claude\ninstructions: |\n  Be brief.\nmounts: [/]\nproviders: {x: 1}\nbuild: rm -rf /\nimagee: y\n";
    let (layer, ignored) = project_file::accept(text, Path::new("p.yml")).expect("accepted");
    assert_eq!(layer.image.as_deref(), Some("node:22"));
    assert_eq!(layer.model.map(|model| model.to_string()).as_deref(), Some("anthropic/claude"));
    assert_eq!(layer.instructions.as_deref(), Some("Be brief.\n"));
    let told: Vec<_> = ignored.iter().map(|it| format!("{} {}: {}", it.at, it.key, it.why)).collect();
    assert_eq!(
        told,
        [
            "p.yml:5 mounts: a project's own file may not set it",
            "p.yml:6 providers: a project's own file may not set it",
            "p.yml:7 build: it runs something, and this file is not trusted",
            "p.yml:8 imagee: there is no such key; did its author mean `image`?",
        ]
    );
    let error = project_file::accept("model: [x]\n", Path::new("p.yml")).expect_err("a list");
    assert_eq!(error.to_string(), "p.yml:1: `model` must be a single value");
}

#[test]
fn a_projects_file_is_not_followed_out_of_the_project() {
    let project = tempfile::tempdir().expect("a folder");
    assert_eq!(project_file::load(project.path()), Ok(None));
    fs::create_dir(project.path().join(".mimir")).expect("a folder");
    let file = project.path().join(project_file::NAME);

    symlink("/etc/passwd", &file).expect("a link");
    assert!(project_file::load(project.path()).is_err(), "a link");
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a folder");
    assert!(project_file::load(project.path()).is_err(), "a folder");
    fs::remove_dir(&file).expect("removed");
    fs::write(&file, "x".repeat(65 * 1024)).expect("written");
    assert!(project_file::load(project.path()).is_err(), "too large");
    fs::write(&file, "image: x\n").expect("written");
    let (layer, ignored) = project_file::load(project.path()).expect("read").expect("there");
    assert_eq!((layer.image.as_deref(), ignored.len()), (Some("x"), 0));
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (n, name) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().enumerate() {
        let last = ["a", "b", "c", "d", "e", "f", "g", "h"][n];
        let items = [format!("*{last}").as_str(); 10].join(", ");
        text.push_str(&format!("{name}: &{name} [{items}]\n"));
    }
    let error = project_file::accept(&text, Path::new("p.yml")).expect_err("too much");
    assert!(matches!(error.problems[0], ConfigProblem::Syntax { .. }), "{error}");
}

// --- places ----------------------------------------------------------------------------------

fn find(env: &[(&str, &str)]) -> Result<Paths, ConfigProblem> {
    Paths::find(&env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn the_home_is_where_the_environment_says() {
    assert_eq!(find(&[("HOME", "/nowhere/u")]).expect("paths").home(), Path::new("/nowhere/u/.mimir"));
    let paths = find(&[("HOME", "/nowhere/u"), ("MIMIR_HOME", "/nowhere/m")]).expect("paths");
    assert_eq!(paths.home(), Path::new("/nowhere/m"));
    assert_eq!(paths.config_file(), Path::new("/nowhere/m/config.yaml"));
    assert_eq!(find(&[("MIMIR_HOME", "")]), Err(ConfigProblem::NoHome));
    let paths = find(&[("HOME", "/nowhere/u"), ("MIMIR_HOME", "~/m")]).expect("paths");
    assert_eq!(paths.home(), Path::new("/nowhere/u/m"));
}

#[test]
fn one_home_has_one_runtime_folder_whatever_it_is_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, link, session) =
        (folder.path().join("home"), folder.path().join("link"), folder.path().join("session"));
    fs::create_dir(&home).expect("made");
    fs::create_dir(&session).expect("made");
    symlink(&home, &link).expect("a link");
    let at = |home: &Path| {
        find(&[
            ("MIMIR_HOME", home.to_str().expect("text")),
            ("XDG_RUNTIME_DIR", session.to_str().expect("text")),
        ])
        .expect("paths")
    };
    assert_eq!(at(&home), at(&link));
    assert_ne!(at(&home).runtime(), at(&folder.path().join("other")).runtime());
    assert!(at(&home).gateway_socket().starts_with(session.join("mimir")), "{:?}", at(&home));
    // Before the home exists and after: the same name.
    let late = link.join("later/mimir");
    let before = at(&late);
    fs::create_dir_all(&late).expect("made");
    assert_eq!(before, at(&late));
}

#[test]
fn a_session_folder_that_is_missing_or_too_long_gives_way_to_tmp() {
    let uid = rustix::process::getuid().as_raw();
    let tmp = PathBuf::from(format!("/tmp/mimir-{uid}"));
    let long = tempfile::tempdir().expect("a folder");
    let long = long.path().join("x".repeat(100));
    fs::create_dir(&long).expect("made");
    for session in ["/nowhere", "relative", "", long.to_str().expect("text")] {
        let paths = find(&[("HOME", "/nowhere/u"), ("XDG_RUNTIME_DIR", session)]).expect("paths");
        assert!(paths.runtime().starts_with(&tmp), "{session}: {paths:?}");
    }
}

#[test]
fn folders_are_closed_to_others_and_never_somebody_elses() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = Paths::new(folder.path().join("home"), folder.path().join("run/abc"));
    paths.ensure_home().expect("made");
    paths.ensure_runtime().expect("made");
    paths.ensure_runtime().expect("a repeat is harmless");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(paths.home()), mode(paths.runtime())), (0o700, 0o700));

    fs::set_permissions(paths.home(), fs::Permissions::from_mode(0o755)).expect("opened");
    paths.ensure_home().expect("closed again");
    assert_eq!(mode(paths.home()), 0o700);

    let link = folder.path().join("link");
    symlink(paths.home(), &link).expect("a link");
    let refused = paths::ensure_private(&link);
    assert!(matches!(refused, Err(ConfigProblem::UnsafeFolder { .. })), "{refused:?}");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(paths::ensure_private(&file).is_err());
}

// --- whose a key is, a file that changes --------------------------------------------------------

#[test]
fn every_key_says_whose_it_is_and_those_of_requests_are_taken_along() {
    let without: Vec<&str> =
        CONFIG.iter().filter(|key| key.owner.is_none()).map(|key| key.path.as_str()).collect();
    assert!(without.is_empty(), "config/schema.rs does not say whose these are: {without:?}");
    let of_requests = CONFIG.iter().filter(|key| key.owner == Some(Owner::Request));
    for key in of_requests {
        let taken = key.path.starts_with("frames.") || key.path == "approvals.unattended";
        // These are used where the command runs, and go nowhere.
        let taken = taken || key.path.starts_with("ui.");
        assert!(taken, "no request takes {} along: see cli/environment.rs", key.path);
    }
}

fn running(home: &Home) -> Running {
    Running::new(home.options.clone(), home.load())
}

#[test]
fn a_file_that_changed_is_obeyed_key_by_key() {
    let home = Home::with("turn: {work: 1h}\nserver: {http_port: 8081}\n");
    let running = running(&home);
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    running.on_change(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    running.refresh();
    assert_eq!(told.load(Ordering::SeqCst), 0, "it is the same file");

    let text = "turn: {work: 3h}\nserver: {http_port: 8082}\nproviders: {local: {kind: ollama}, anthropic: {key: sk-1}}\n";
    fs::write(home.options.paths.config_file(), text).expect("written");
    running.refresh();
    let now = running.now();
    assert_eq!((now.turn.work.as_secs(), now.server.http_port), (3 * 3600, Some(8081)));
    assert_eq!(told.load(Ordering::SeqCst), 1);
    let shown = running.shown("salt");
    let waits: Vec<&str> =
        shown.settings.iter().filter(|it| it.pending.is_some()).map(|it| it.key.as_str()).collect();
    assert_eq!(waits, ["server.http_port", "providers.anthropic.key", "providers.local.kind"]);
    assert!(shown.changed && !format!("{shown:?}").contains("sk-1"), "{shown:?}");

    fs::write(home.options.paths.config_file(), "turn: {work: never}\n").expect("written");
    running.refresh();
    assert_eq!(running.now().turn.work.as_secs(), 3 * 3600, "a mistake changes nothing");
    assert!(running.shown("salt").mistake.is_some_and(|it| it.contains("turn.work")));
}

#[test]
fn a_request_may_say_what_shapes_it_and_nothing_else() {
    let running = running(&Home::new());
    let said = |key: &str, text: &str| running.for_request(&[(key.to_owned(), text.to_owned())].into());
    assert_eq!(said("frames.limits.pids", "77").expect("fits").frames.limits.pids, 77);
    for (key, text) in [
        ("turn.work", "9h"),
        ("server.bind", "::"),
        ("frames.parallel_starts", "9"),
        ("frames.network", "no"),
    ] {
        assert!(said(key, text).is_err(), "{key}");
    }
}
