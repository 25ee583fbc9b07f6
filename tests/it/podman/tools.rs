//! What an agent's commands find inside: loopback under all its names, the preview, the machine's certificates, servers
//! in the background, tools that install something.

use std::time::{Duration, Instant};

use super::scripted::Scripted;
use super::support::{Engine, Run, World, eventually, skip};

fn world(test: &str) -> Option<World> {
    let engine = Engine::usual();
    World::new(engine).map_err(|why| skip(test, &why)).ok()
}

fn inside(world: &World, script: &str) -> Run {
    world.mimir(&["frame", "exec", "shop", "--", "timeout", "240", "bash", "-c", script])
}

/// What a browser gets at the frame's preview: the status and the text.
fn preview(world: &World) -> (String, String) {
    let port = world.json(&["frame", "show", "shop"])["preview_port"].to_string();
    let url = format!("http://127.0.0.1:{port}/");
    let args = ["-s", "-m", "10", "--noproxy", "*", "-w", "\n%{http_code}", &url];
    let answer = std::process::Command::new("curl").args(args).output().expect("curl runs").stdout;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (text, status) = answer.rsplit_once('\n').expect("a status");
    (status.to_owned(), text.to_owned())
}

fn eventually_previewed(world: &World, status: &str, text: &str) {
    eventually("the preview shows it", Duration::from_secs(20), || match preview(world) {
        (shown, told) if shown == status && told.contains(text) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Field case 16.
#[test]
fn every_name_of_loopback_is_the_frame_itself() {
    let Some(world) = world("names of loopback") else { return };
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    let script = r#"
        (python3 -m http.server 8000 --bind :: >/dev/null 2>&1 &)
        for try in $(seq 600); do curl -s -o /dev/null http://127.0.0.1:8000/ && break; sleep 0.1; done
        for name in 127.0.0.1 localhost 0.0.0.0 '[::1]' "$HOSTNAME"; do
            url="http://$name:8000/"
            echo "curl $name $(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url")"
            echo "node $name $(timeout 5 node -e "fetch('$url').then(r => console.log(r.status), e => console.log(e.cause.code))")"
            echo "http $name $(timeout 5 node -e "require('http').get('$url', r => { console.log(r.statusCode); r.resume() })")"
            echo "python $name $(timeout 5 python3 -c "import urllib.request as u; print(u.urlopen('$url').status)" 2>&1 | tail -1)"
            echo "pip $name $(timeout 5 python3 -c "from pip._vendor import requests as r; print(r.get('$url').status_code)" 2>&1 | tail -1)"
        done
        echo "curl 127.0.0.9 $(curl -s -m 5 -o /dev/null -w '%{http_code}' http://127.0.0.9:8000/)""#;
    let seen = inside(&world, script).ok().stdout;
    assert_eq!(seen.lines().count(), 26, "{seen}");
    for line in seen.lines() {
        assert!(line.ends_with(" 200"), "{line}\n{seen}");
    }
}

/// Field cases 15 and 28.
#[test]
fn the_preview_finds_the_server_and_says_so_when_there_is_none() {
    let Some(world) = world("preview") else { return };
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    eventually_previewed(&world, "502", "Nothing listens on port 3000 inside the frame shop.");

    for (address, path) in [("::1", "six"), ("0.0.0.0", "all"), ("::", "both"), ("127.0.0.1", "four")] {
        let server =
            format!("require('http').createServer((q, s) => s.end('{path}')).listen(3000, '{address}')");
        let begin = format!("nohup node -e \"{server}\" >/dev/null 2>&1 & echo $! >/tmp/server");
        let _ = inside(&world, &begin).ok();
        eventually_previewed(&world, "200", path);
        let _ = inside(&world, "kill $(cat /tmp/server)").ok();
    }
    // Another port: one that development servers have by themselves is found, any other is chosen.
    let serve = |port: u16, text: &str| {
        let server = format!("require('http').createServer((q, s) => s.end('{text}')).listen({port}, '::1')");
        let _ = inside(&world, &format!("nohup node -e \"{server}\" >/dev/null 2>&1 &")).ok();
    };
    serve(7714, "by hand");
    eventually_previewed(&world, "502", "Other ports that something listens on: 7714.");
    serve(8000, "by Django");
    eventually_previewed(&world, "200", "by Django");
    serve(5173, "by Vite");
    eventually_previewed(&world, "200", "by Vite");
    let ports =
        |args: &[&str]| world.mimir(&[&["frame", "ports", "shop", "--json"], args].concat()).ok().json();
    let listed = ports(&[]);
    assert_eq!(listed["listening_ports"], serde_json::json!([5173, 7714, 8000]), "{listed}");
    assert_eq!(listed["shown_port"], 5173, "{listed}");
    assert_eq!(ports(&["--preview", "7714"])["chosen_port"], 7714);
    assert_eq!(preview(&world), ("200".to_owned(), "by hand".to_owned()), "at once");
    let _ = world.mimir(&["frame", "restart", "shop"]).ok();
    eventually_previewed(&world, "502", "Nothing listens on port 7714 inside the frame shop.");
    serve(8000, "by Django");
    eventually_previewed(&world, "502", "on: 8000. `mimir frame ports shop --preview PORT` leads here");
    assert_eq!(ports(&["--preview", "auto"])["shown_port"], 8000);
    assert_eq!(preview(&world), ("200".to_owned(), "by Django".to_owned()));
    // What is kept of the choice is the agent's to write: nobody waits for a pipe in its place.
    let _ = inside(&world, "mkfifo ~/.config/mimir/preview-port").ok();
    assert_eq!(ports(&[])["shown_port"], 8000);
    assert_eq!(ports(&["--preview", "8000"])["chosen_port"], 8000);
    assert_eq!(preview(&world), ("200".to_owned(), "by Django".to_owned()));
}

/// Field case 18.
/// The machine's certificates are the frame's, and a change reaches it with its next start.
#[test]
fn a_frame_trusts_what_its_machine_trusts() {
    let Some(mut world) = world("the machine's certificates") else { return };
    let bundle = world.root.join("machine.crt");
    let certificate =
        |word: &str| format!("-----BEGIN CERTIFICATE-----\n{word}\n-----END CERTIFICATE-----\n");
    let text = format!("{}-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", certificate("first"));
    std::fs::write(&bundle, text).expect("written");
    world.set_env("SSL_CERT_FILE", &bundle.display().to_string());
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();

    let names = "SSL_CERT_FILE CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE PIP_CERT NODE_EXTRA_CA_CERTS \
                 npm_config_cafile CARGO_HTTP_CAINFO AWS_CA_BUNDLE DENO_CERT";
    let read = format!("for name in {names}; do cat \"${{!name}}\" || exit 9; done");
    assert_eq!(inside(&world, &read).ok().stdout, certificate("first").repeat(10));
    let write = inside(&world, "echo x >>\"$SSL_CERT_FILE\"");
    assert_ne!(write.code, 0, "it is read-only: {write:?}");

    std::fs::write(&bundle, certificate("second")).expect("written");
    let _ = world.mimir(&["frame", "stop", "shop"]).ok();
    let _ = world.mimir(&["frame", "start", "shop"]).ok();
    assert_eq!(inside(&world, "cat \"$SSL_CERT_FILE\"").ok().stdout, certificate("second"));
}

/// Field case 10.
/// opencode waits for whoever holds a command's output, and kills the group of one that takes too long.
#[test]
fn a_server_in_the_background_does_not_hold_the_turn_and_lives_on() {
    let Some(scripted) = Scripted::new("a server in the background", "") else { return };
    let world = &scripted.world;
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    let begun = Instant::now();
    let answer = world.mimir(&["send", "--frame", "shop", "@@background@@"]).ok();
    // opencode kills after two minutes. A still machine needs a dozen seconds for the whole message; a busy one more.
    assert!(begun.elapsed() < Duration::from_secs(80), "it took {:?}: {answer:?}", begun.elapsed());
    assert!(answer.stdout.contains("begun") && answer.stdout.contains("/tmp/background-"), "{answer:?}");
    eventually_previewed(world, "200", "README.md");
    assert_eq!(inside(world, "pgrep -fxc 'sleep 4714'").ok().stdout.trim(), "1");
    // What it prints after that is kept.
    eventually("its log", Duration::from_secs(10), || {
        let log = inside(world, "cat /tmp/background-*.log").stdout;
        if log.contains("GET / HTTP/1.1") { Ok(()) } else { Err(log) }
    });
    let again = world.mimir(&["send", "--frame", "shop", "@@bash@@"]).ok();
    assert!(again.stdout.contains("hi-from-bash"), "{again:?}");
    eventually_previewed(world, "200", "README.md");
}

/// A call that waits for ever is named, with the command that ends it.
#[test]
fn a_tool_call_that_shows_no_sign_is_named_and_can_be_stopped() {
    let Some(scripted) = Scripted::new("a tool call without a sign", "") else { return };
    let world = &scripted.world;
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    let sending = world.spawn(&["send", "--frame", "shop", "@@fifo@@"]);
    let stop = eventually("it is named", Duration::from_secs(240), || {
        let status = world.json(&["frame", "show", "shop"])["status"].clone();
        let stop = status["stop"].as_str().map(str::to_owned);
        stop.ok_or_else(|| format!("{status}"))
    });
    let list = world.mimir(&["frame", "list"]).ok();
    assert!(list.stderr.contains("bash shows no sign for a minute: mkfifo pipe; cat pipe"), "{list:?}");
    // Whoever asks is told at once; what is told unasked comes within a second or two of it.
    eventually("it is told", Duration::from_secs(30), || {
        let events = world.mimir(&["frame", "events", "shop"]).ok().stdout;
        if events.contains("shows no sign for a minute") { Ok(()) } else { Err(events) }
    });
    let words: Vec<&str> = stop.split(' ').skip(1).collect();
    let _ = world.mimir(&words).ok();
    let told = sending.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.contains("bash shows no sign for a minute") && told.contains("`mimir queue cancel "),
        "{told}"
    );
    let again = world.mimir(&["send", "--frame", "shop", "@@bash@@"]).ok();
    assert!(again.stdout.contains("hi-from-bash"), "{again:?}");
}

/// Built once, from the frame image, under the project's name.
#[test]
fn a_project_has_an_image_of_its_own() {
    let Some(world) = world("a project's image") else { return };
    let folder = world.project.join(".mimir");
    std::fs::create_dir(&folder).expect("a folder");
    let recipe = "FROM mimir-frame\nRUN echo made >/etc/made\nENV MADE=yes\n";
    std::fs::write(folder.join("Containerfile"), recipe).expect("a recipe");
    let build = || world.mimir(&["image", "build", "--project"]).ok();
    let first = build();
    assert!(first.stdout.starts_with("localhost/mimir-project:project "), "{first:?}");
    let again = build();
    assert!(again.stderr.contains("nothing had changed") && again.stdout == first.stdout, "{again:?}");

    let _ = world
        .mimir(&["frame", "create", "shop", "--image", "localhost/mimir-project:project", "--start"])
        .ok();
    assert_eq!(
        inside(
            &world,
            "cat /etc/made; echo $MADE; test $(id -u) -gt 0 || test $(stat -c %u .) = 0; echo $?; pwd"
        )
        .ok()
        .stdout,
        "made\nyes\n0\n/workspace\n"
    );

    std::fs::write(folder.join("Containerfile"), "FROM debian\n").expect("a recipe");
    let refused = world.mimir(&["image", "build", "--project"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("its first line must be `FROM mimir-frame`"), "{refused:?}");
    let _ = world.mimir(&["frame", "destroy", "shop", "--yes"]).ok();
    let id = first.stdout.split_whitespace().nth(1).expect("its id");
    let _ = world.podman(&["rmi", "-f", id]);
}

/// Field case 19: what the allow-list promises needs tools, and they work without a network too.
#[test]
fn the_image_has_the_tools_that_packages_need() {
    let Some(world) = world("tools of the image") else { return };
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    let tools =
        "for tool in pip cc g++ make jq unzip patch nano git curl rg; do command -v $tool || exit 9; done";
    let _ = inside(&world, tools).ok();
    let venv = "python3 -m venv /tmp/v && /tmp/v/bin/pip --version";
    assert!(inside(&world, venv).ok().stdout.contains("/tmp/v/"), "the pip of that folder");
    let make = r"mkdir c && cd c && echo 'int main(void) { return 0; }' >a.c &&
        printf 'a: a.c\n\tcc -o a a.c\n' >Makefile && make && ./a";
    let _ = inside(&world, make).ok();
    let global = r#"mkdir tool && cd tool &&
        echo '{"name": "tool", "version": "1.0.0", "bin": "tool.js"}' >package.json &&
        printf '#!/usr/bin/env node\nconsole.log("it runs")\n' >tool.js && chmod +x tool.js &&
        npm install --global --offline --no-audit --no-fund . >&2 && ~/.local/bin/tool"#;
    assert_eq!(inside(&world, global).ok().stdout, "it runs\n");
}

/// Field cases 18 and 19.
/// A tiny project of each kind that the allow-list promises is fetched, built and tested.
#[test]
fn what_the_allow_list_promises_can_be_built() {
    let Some(world) = world("projects of the allow-list") else { return };
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    let projects = [
        (
            "npm",
            "registry.npmjs.org",
            "mkdir -p /workspace/js && cd /workspace/js && npm init -y >/dev/null && \
            npm install left-pad@1.3.0 2>&1 && node -e \"console.log(require('left-pad')(7, 2, 0))\" && \
            npm install -g left-pad@1.3.0 2>&1 && ls ~/.local/lib/node_modules/left-pad && echo 07",
        ),
        (
            "pypi",
            "pypi.org",
            "cd /tmp && python3 -m venv v && v/bin/pip install -q six==1.17.0 2>&1 && \
            v/bin/python -c 'import six; print(six.__version__)' && \
            pip install -q --user six==1.17.0 2>&1 && python3 -c 'import six; print(six.__file__)' | grep ^/home/agent && echo 1.17",
        ),
        (
            "debian",
            "deb.debian.org",
            "cd /tmp && curl -fsSL https://deb.debian.org/debian/dists/stable/Release | grep Origin: && \
            printf 'int main() { return 0; }' >a.cc && printf 'a: a.cc\\n\\tg++ -o a a.cc\\n' >Makefile && make && ./a && echo built",
        ),
        (
            "crates",
            "index.crates.io",
            "curl -fsS https://index.crates.io/3/l/log | head -1 | jq -r .name && echo log",
        ),
        (
            "github",
            "github.com",
            "git ls-remote https://github.com/octocat/Hello-World HEAD && cd /tmp && \
            git clone -q --depth 1 https://github.com/octocat/Hello-World hello && git -C hello log --format=HEAD:%s",
        ),
    ];
    let more = [
        (
            "npm, with pnpm and yarn",
            "registry.npmjs.org",
            "mkdir -p /tmp/js && cd /tmp/js && echo '{\"name\": \"js\", \"version\": \"1.0.0\"}' >package.json && \
            npm install -g pnpm@9 yarn@1 2>&1 && PATH=~/.local/bin:$PATH && pnpm add left-pad@1.3.0 2>&1 && \
            rm -rf node_modules && yarn add left-pad@1.3.0 2>&1 && ls node_modules/left-pad",
        ),
        (
            "pypi, with uv",
            "pypi.org",
            "pip install -q --user uv 2>&1 && cd /tmp && ~/.local/bin/uv venv -q u && . u/bin/activate && \
            ~/.local/bin/uv pip install -q six==1.17.0 && python -c 'import six; print(six.__version__)'",
        ),
        (
            // As one more index, so that the pages of names are enough: some mirrors have nothing else.
            "pypi, with poetry",
            "pypi.org",
            "python3 -m venv ~/p && ~/p/bin/pip install -q --no-compile poetry==2.1.4 2>&1 && \
            mkdir -p /workspace/poem && cd /workspace/poem && \
            printf '[project]\\nname = \"poem\"\\nversion = \"1.0.0\"\\nrequires-python = \">=3.11\"\\n\\n[tool.poetry]\\npackage-mode = false\\n\\n\
            [[tool.poetry.source]]\\nname = \"index\"\\nurl = \"https://pypi.org/simple/\"\\npriority = \"primary\"\\n' >pyproject.toml && \
            export POETRY_VIRTUALENVS_IN_PROJECT=true POETRY_KEYRING_ENABLED=false && ~/p/bin/poetry add -n six==1.17.0 2>&1 && \
            .venv/bin/python -c 'import six; print(six.__version__)' | grep -x 1.17.0",
        ),
        (
            "debian, with apt-get and wget",
            "deb.debian.org",
            "mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial && cd /tmp/apt && \
            echo 'deb [trusted=yes] http://deb.debian.org/debian bookworm main' >sources && \
            apt='apt-get -o Dir::Etc::SourceList=/tmp/apt/sources -o Dir::Etc::SourceParts=/dev/null \
                 -o Dir::State::Lists=/tmp/apt/lists -o Dir::Cache=/tmp/apt/cache -o Dir::Cache::pkgcache= \
                 -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=' && \
            $apt update 2>&1 && $apt download hello wget 2>&1 && ls hello_*.deb && dpkg -x wget_*.deb unpacked && \
            for scheme in http https; do unpacked/usr/bin/wget -nv -O $scheme ${SSL_CERT_FILE:+--ca-certificate=$SSL_CERT_FILE} \
                $scheme://deb.debian.org/debian/dists/stable/Release 2>&1 || exit 1; done && grep Origin: http https",
        ),
    ];
    for (group, host, script) in projects.into_iter().chain(more) {
        if let Err(why) = reached_from(&world, host) {
            skip(&format!("a project of group {group}"), &why);
            continue;
        }
        let done = inside(&world, script);
        assert_eq!(done.code, 0, "{group}: {}\n{}", done.stdout, done.stderr);
    }
}

/// Whether a host that the frame may reach can be reached from it, and why not.
fn reached_from(world: &World, host: &str) -> Result<(), String> {
    let reach = inside(world, &format!("curl -sS -m 20 -o /dev/null https://{host}/"));
    let refused = inside(world, &format!("curl -s -m 20 http://{host}/")).stdout;
    if reach.code != 0 && refused.contains("cannot be reached") {
        return Err(refused.trim().to_owned());
    }
    let _ = reach.ok();
    Ok(())
}

/// Whether this machine reaches it; else why not.
fn reaches(url: &str) -> Result<(), String> {
    let asked = ["-sS", "-m", "20", "-L", "-o", "/dev/null", "-w", "%{http_code}", url];
    let asked = std::process::Command::new("curl").args(asked).output().expect("curl runs");
    match String::from_utf8_lossy(&asked.stdout).as_ref() {
        "200" => Ok(()),
        "000" => Err(format!("{url}: {}", String::from_utf8_lossy(&asked.stderr).trim())),
        status => Err(format!("{url} answers {status} to this machine")),
    }
}

/// What each kit's own clients fetch through the frame's broker, and from where.
const FETCHED: &[(&str, &str, &[&str], &str, &str)] = &[
    (
        "go",
        "go",
        &[
            "https://proxy.golang.org/github.com/google/uuid/@v/v1.6.0.info",
            "https://sum.golang.org/lookup/github.com/google/uuid@v1.6.0",
        ],
        "mkdir fetched && cd fetched && go mod init example.org/fetched && go get github.com/google/uuid@v1.6.0 && \
         printf 'package main\nimport (\"fmt\"; \"github.com/google/uuid\")\nfunc main() { fmt.Println(uuid.Nil) }\n' \
         >main.go && go run .",
        "00000000-0000-0000-0000-000000000000",
    ),
    (
        "java",
        "maven",
        &["https://repo.maven.apache.org/maven2/org/hamcrest/hamcrest/2.2/hamcrest-2.2.pom"],
        "mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get -Dartifact=org.hamcrest:hamcrest:2.2 && \
         ls ~/.m2/repository/org/hamcrest/hamcrest/2.2",
        "hamcrest-2.2.jar",
    ),
    (
        "java",
        "gradle",
        &[
            "https://services.gradle.org/versions/current",
            "https://repo.maven.apache.org/maven2/org/hamcrest/hamcrest/2.2/hamcrest-2.2.pom",
        ],
        "mkdir gradled && cd gradled && curl -fsSL -o gradle.zip \
         https://services.gradle.org/distributions/gradle-8.10.2-bin.zip && unzip -q gradle.zip && \
         printf 'plugins { id \"java\" }\\nrepositories { mavenCentral() }\\ndependencies { implementation \"org.hamcrest:hamcrest:2.2\" }\\n\
         tasks.register(\"seen\") { def found = configurations.runtimeClasspath; doLast { println found.files*.name } }\\n' \
         >build.gradle && touch settings.gradle && gradle-8.10.2/bin/gradle -q --no-daemon --console=plain seen",
        "hamcrest-2.2.jar",
    ),
    (
        "php",
        "composer",
        &["https://repo.packagist.org/p2/psr/log.json", "https://api.github.com/repos/php-fig/log"],
        "mkdir fetched && cd fetched && composer require -q -n psr/log:3.0.2 && \
         php -r 'require \"vendor/autoload.php\"; echo Psr\\Log\\LogLevel::ALERT;'",
        "alert",
    ),
    (
        "ruby",
        "gem",
        &["https://index.rubygems.org/info/rainbow", "https://rubygems.org/gems/rainbow-3.1.1.gem"],
        "gem install --no-document --install-dir gemmed rainbow -v 3.1.1 && \
         GEM_PATH=gemmed ruby -e 'require \"rainbow\"; puts Gem.loaded_specs[\"rainbow\"].version'",
        "3.1.1",
    ),
    (
        "ruby",
        "bundler",
        &["https://index.rubygems.org/info/rainbow", "https://rubygems.org/gems/rainbow-3.1.1.gem"],
        "mkdir fetched && cd fetched && printf 'source \"https://rubygems.org\"\ngem \"rainbow\", \"3.1.1\"\n' >Gemfile && \
         bundle config set --local path gems && bundle install --quiet && \
         bundle exec ruby -e 'require \"rainbow\"; puts Gem.loaded_specs[\"rainbow\"].version'",
        "3.1.1",
    ),
    (
        "rust",
        "cargo",
        &[
            "https://index.crates.io/cf/g-/cfg-if",
            "https://static.crates.io/crates/cfg-if/cfg-if-1.0.0.crate",
        ],
        "cargo init -q --bin fetched && cd fetched && cargo add -q cfg-if@=1.0.0 && \
         printf 'fn main() { cfg_if::cfg_if! { if #[cfg(unix)] { println!(\"unix\") } else { } } }\n' >src/main.rs && cargo run -q",
        "unix",
    ),
];

/// Set-id bits are refused in a frame, and git sets one on the folders of a repository that is shared with a group.
#[test]
fn a_repository_that_is_shared_with_a_group_can_be_committed_to() {
    let Some(world) = world("a shared repository") else { return };
    let _ = world.mimir(&["frame", "create", "shop", "--start"]).ok();
    let script = "git init -q shared && cd shared && git config core.sharedRepository group && echo 1 >a && git add a && \
                  git -c user.name=Me -c user.email=me@example.org commit -q -m one && git gc -q && git log --format=%s";
    assert_eq!(inside(&world, script).ok().stdout.trim(), "one");
}

/// The tools of each kit build and test a tiny project inside a frame, and fetch another one's where this machine can.
#[test]
fn the_kits_build_and_test_a_project() {
    let Some(world) = world("kits") else { return };
    let mut kits = vec!["go", "java", "php", "playwright", "ruby"];
    let reach =
        ["-s", "-m", "10", "-o", "/dev/null", "https://static.rust-lang.org/rustup/release-stable.toml"];
    if std::process::Command::new("curl").args(reach).status().is_ok_and(|status| status.success()) {
        kits.push("rust");
    } else {
        skip("the kit rust", "static.rust-lang.org cannot be reached from this machine");
    }
    let built = world.mimir(&["image", "build", "--with", &kits.join(",")]).ok();
    let image = format!("localhost/mimir-project:{}", kits.join("-"));
    assert!(built.stdout.starts_with(&image), "{built:?}");
    let create = ["frame", "create", "shop", "--image", &image, "--start"];
    let groups = ["go", "maven", "packagist", "rubygems"].map(|group| ["--allow", group]).concat();
    let _ = world.mimir(&[&create[..], &groups].concat()).ok();
    let projects = [
        (
            "go",
            "go mod init example.org/sum && printf 'package sum\\nfunc Of(a, b int) int { return a + b }\\n' >sum.go && \
             printf 'package sum\\nimport \"testing\"\\nfunc TestOf(t *testing.T) { if Of(2, 2) != 4 { t.Fatal() } }\\n' \
             >sum_test.go && go test ./...",
            "ok",
        ),
        (
            "java",
            "printf 'class Sum { static int of(int a, int b) { return a + b; } public static void main(String[] a) \
             { assert of(2, 2) == 4; System.out.println(\"four\"); } }' >Sum.java && javac Sum.java && java -ea Sum && \
             mvn --version",
            "four",
        ),
        (
            "php",
            "printf '<?php function sum($a, $b) { return $a + $b; } if (sum(2, 2) !== 4) exit(1); echo \"four\";' >sum.php && \
             php sum.php && composer --version",
            "four",
        ),
        (
            "playwright",
            "echo '<p>before</p><script>document.querySelector(\"p\").textContent = \"after\"</script>' >page.html && \
             $CHROME_BIN --headless --no-sandbox --disable-gpu --dump-dom file://$PWD/page.html",
            "<p>after</p>",
        ),
        (
            "ruby",
            "printf 'require \"minitest/autorun\"\\nclass SumTest < Minitest::Test\\n def test_it = assert_equal(4, 2 + 2)\\nend\\n' \
             >sum_test.rb && ruby sum_test.rb && bundle --version",
            "1 runs, 1 assertions, 0 failures",
        ),
        ("rust", "cargo init -q --lib sum && cd sum && cargo test -q --offline", "test result: ok"),
    ];
    for (kit, script, expected) in projects.iter().filter(|(kit, ..)| kits.contains(kit)) {
        let done = inside(&world, &format!("mkdir -p /workspace/{kit} && cd /workspace/{kit} && {script}"));
        assert!(done.code == 0 && done.stdout.contains(expected), "{kit}: {}\n{}", done.stdout, done.stderr);
    }
    for (kit, tool, urls, script, expected) in FETCHED.iter().filter(|(kit, ..)| kits.contains(kit)) {
        if let Err(why) = urls.iter().try_for_each(|url| reaches(url)) {
            skip(&format!("what {tool} of the kit {kit} fetches"), &why);
            continue;
        }
        let done = inside(&world, &format!("cd /workspace/{kit} && {script}"));
        assert!(
            done.code == 0 && done.stdout.contains(expected),
            "{tool} of the kit {kit} fetches: {}\n{}",
            done.stdout,
            done.stderr
        );
    }
    let _ = world.mimir(&["frame", "destroy", "shop", "--yes"]).ok();
    let id = built.stdout.split_whitespace().nth(1).expect("its id");
    let _ = world.podman(&["rmi", "-f", id]);
}
