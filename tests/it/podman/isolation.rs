//! How a real frame is kept apart: what its kernel refuses, what goes on working, and what is said of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::support::{Engine, Run, World, skip};

pub(super) const PROBE: &str = include_str!("../../fixtures/refused.py");

fn on_each_engine(test: &str, check: impl Fn(&World)) {
    for engine in [Engine::Rootful, Engine::Rootless] {
        match World::new(engine) {
            Ok(world) => check(&world),
            Err(why) => skip(&format!("{test} ({engine:?})"), &why),
        }
    }
}

fn inside(world: &World, script: &str) -> Run {
    world.mimir(&["frame", "exec", "box", "--", "timeout", "240", "bash", "-c", script])
}

/// Files in a folder with a bit that gives rights away, or that are devices.
fn giving_rights_away(folder: &Path) -> Vec<String> {
    let find = ["-perm", "/6000", "-o", "-type", "b", "-o", "-type", "c"];
    let found = std::process::Command::new("find").arg(folder).args(find).output().expect("find").stdout;
    String::from_utf8_lossy(&found).lines().map(str::to_owned).collect()
}

/// Those of the mounts on which bits that give rights away, or devices, would count.
pub(super) fn without_nosuid(mounts: &str) -> Vec<&str> {
    mounts.lines().filter(|line| !line.contains("nosuid,nodev")).collect()
}

fn kept_apart(world: &World) {
    let _ = world.mimir(&["frame", "create", "box", "--start"]).ok();

    if cfg!(target_arch = "x86_64") {
        fs::write(world.project.join("refused.py"), PROBE).expect("written");
        let script = "for place in /workspace /home/agent /tmp; do mkdir -p $place/probe && cd $place/probe && \
                      python3 /workspace/refused.py || exit 9; done";
        let seen = inside(world, script).ok().stdout;
        let wrong: Vec<&str> = seen.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(wrong.is_empty(), "{:?}: {wrong:#?}", world.engine);
        assert!(seen.lines().count() > 3 * 90, "{}", seen.lines().count());
    }

    // The usual ways to a file that gives its owner's rights to everybody.
    let _ = inside(
        world,
        "cd /workspace && cp /bin/bash sh && ! chmod 4755 sh && ! chmod u+s sh && ! chmod g+s sh && \
         ! install -m 4755 /bin/bash other && ! python3 -c 'import os; os.chmod(\"sh\", 0o6755)' && chmod 755 sh && \
         cd ~ && cp /bin/bash sh && ! chmod 4755 sh && mkdir d && chmod 1777 d",
    )
    .ok();
    assert_eq!(giving_rights_away(&world.project), [""; 0]);
    let shell = fs::metadata(world.project.join("sh")).expect("a copy");
    assert_eq!(shell.permissions().mode() & 0o7777, 0o755);

    // Bits of a file that has them from outside do not count inside.
    let outside = world.project.join("outside");
    fs::copy("/bin/bash", &outside).expect("a copy");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o4755)).expect("its own");
    let mounts = inside(
        world,
        "grep -E ' (/workspace|/home/agent|/tmp|/run/frame|/run/mimir/link) ' /proc/self/mountinfo",
    )
    .ok();
    assert_eq!(mounts.stdout.lines().count(), 5, "{mounts:?}");
    assert_eq!(without_nosuid(&mounts.stdout), [""; 0]);
    assert_eq!(
        giving_rights_away(&world.project),
        [outside.display().to_string()],
        "it would have been noticed"
    );
    fs::remove_file(outside).expect("removed");

    let hosts = inside(world, "cat /etc/hosts; getent hosts localhost; getent hosts $HOSTNAME").ok().stdout;
    assert!(hosts.starts_with("127.0.0.1\tlocalhost box\n::1\tlocalhost"), "{hosts}");
    assert!(!hosts.contains("containers.internal"), "{hosts}");
    assert_eq!(hosts.lines().count(), 4, "{hosts}");

    let shown = world.json(&["frame", "show", "box"]);
    let isolation = &shown["isolation"];
    assert_eq!((&isolation["capabilities"], &isolation["filtered"]), (&0.into(), &true.into()), "{shown}");
    assert_eq!(isolation["interfaces"], serde_json::json!(["lo"]));
    for nothing in ["shared", "loose_mounts", "unmasked", "engine_sockets"] {
        assert_eq!(isolation[nothing], serde_json::json!([]), "{nothing}");
    }
    let words = world.mimir(&["frame", "show", "box"]).ok().stdout;
    assert!(words.contains("no capabilities; no new privileges; system calls filtered"), "{words}");
    // With root it depends on the file system of the folder, and the frame says which it is.
    let own_users = isolation["own_users"] == true;
    if world.engine == Engine::Rootless {
        assert!(own_users, "{shown}");
    } else if !own_users {
        skip("users of a frame's own (Rootful)", "the kernel or the file system of /tmp cannot");
    }
    assert_eq!(words.contains("works as root of this machine"), !own_users, "{words}");
    assert_eq!(isolation["devices"], serde_json::json!([]));
    assert_eq!(isolation["differs"], serde_json::json!([]));
}

/// The frame's supervisor in a container without walls, with what the gateway provides before a start.
fn without_walls(world: &World) -> Run {
    let folder = |name: &str| {
        let path = world.root.join(name);
        fs::create_dir(&path).expect("a folder");
        path
    };
    let (start, home, link) = (folder("start"), folder("inside"), folder("link"));
    for (name, text) in [("password", "secret\n"), ("opencode.json", "{}"), ("probe", "")] {
        fs::write(start.join(name), text).expect("written");
    }
    let image =
        std::env::var("MIMIR_TEST_IMAGE").unwrap_or_else(|_| "localhost/mimir-frame:latest".to_owned());
    let shown = [
        (&world.project, "/workspace"),
        (&home, "/home/agent"),
        (&link, "/run/mimir/link"),
        (&start, "/run/mimir/start"),
    ];
    let volumes: Vec<String> = shown.iter().map(|(path, at)| format!("{}:{at}", path.display())).collect();
    let mut words = vec!["run", "--rm", "--network", "none", "--user", "0:0"];
    volumes.iter().for_each(|volume| words.extend(["-v", volume]));
    words.push(&image);
    world.podman(&words)
}

#[test]
fn a_frame_tries_its_own_walls_and_does_not_run_without_them() {
    let engine = Engine::usual();
    let world = match World::new(engine) {
        Ok(world) => world,
        Err(why) => return skip("a frame's own walls", &why),
    };
    let _ = world.mimir(&["frame", "create", "box", "--start"]).ok();
    let tried = world.mimir(&["frame", "exec", "box", "--", "mimir-probe"]);
    assert_eq!((tried.code, tried.stdout.as_str()), (0, ""), "{tried:?}");
    let logs = world.mimir(&["frame", "logs", "box"]).ok().stdout;
    assert!(logs.contains("supervisor started") && !logs.contains("not-isolated"), "{logs}");

    // Whoever could guess its names could lay something there for it: it follows nothing and waits for nothing.
    let laid = "END { printf 'mode %o, %d, %s', (stat '/workspace/victim')[2] & 07777, scalar(grep { lstat $_ } @n), \
                -e '/tmp/nothing' ? 'made' : 'not made' } \
        srand 7; our @n = map { sprintf '%s/.mimir-probe-%d-%08x', $_, $$, int rand 2**32 } \
        '/workspace', $ENV{HOME}, '/tmp'; open my $f, '>', '/workspace/victim'; close $f; chmod 0644, '/workspace/victim'; \
        symlink '/workspace/victim', $n[0] or die; require POSIX; POSIX::mkfifo($n[1], 0600) or die; \
        symlink '/tmp/nothing', $n[2] or die; srand 7; alarm 20; do $ARGV[0]; die $@ if $@;";
    let script = "perl -e \"$0\" \"$(command -v mimir-probe)\"";
    let tried = world.mimir(&["frame", "exec", "box", "--", "sh", "-c", script, laid]);
    assert_eq!((tried.code, tried.stdout.as_str()), (0, "mode 644, 3, not made"), "{tried:?}");
    let victim = fs::metadata(world.project.join("victim")).expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&victim.permissions()) & 0o7777, 0o644);

    let ended = without_walls(&world);
    assert_eq!(ended.code, 71, "{ended:?}");
    for open in ["mimir: fatal not-isolated", "CapBnd is not empty", "a file at /usr/.probe", "unshare"] {
        assert!(ended.stdout.contains(open), "{open}: {ended:?}");
    }
    assert!(!ended.stdout.contains("opencode started"), "nothing of a stranger's ran: {ended:?}");
}

#[test]
fn what_leads_out_of_containers_is_refused_and_set_id_bits_cannot_be_made() {
    on_each_engine("what is refused", kept_apart);
}

/// What an agent does all day, under the same rules.
#[test]
fn real_work_goes_on() {
    let engine = Engine::usual();
    let world = match World::new(engine) {
        Ok(world) => world,
        Err(why) => return skip("real work", &why),
    };
    let _ = world.mimir(&["frame", "create", "box", "--start"]).ok();
    let works = [
        (
            "git",
            "git init -q g && cd g && git config user.email a@b && git config user.name A && echo x >x && git add . && \
                 git commit -qm x && git clone -q . ../h && git gc -q",
        ),
        (
            "npm",
            "mkdir -p dep app && echo '{\"name\":\"dep\",\"version\":\"1.0.0\",\"bin\":\"x.js\"}' >dep/package.json && \
                 echo '#!/usr/bin/env node' >dep/x.js && cd app && echo '{\"name\":\"app\",\"version\":\"1.0.0\"}' >package.json && \
                 npm install --offline ../dep >/dev/null && npm ls >/dev/null",
        ),
        (
            "node",
            "node -e \"const w = new (require('worker_threads').Worker)('1', {eval: true}); w.on('exit', c => process.exit(c))\" && \
                  node -e \"require('child_process').execFileSync('true')\"",
        ),
        (
            "python",
            "python3 -m venv v && v/bin/python -c 'import subprocess, threading, multiprocessing; \
                    multiprocessing.get_context(\"spawn\"); subprocess.run([\"true\"], check=True)' && v/bin/pip --version",
        ),
        (
            "gcc",
            "printf '#include <pthread.h>\\nvoid *f(void *x) { return x; }\\nint main() { pthread_t t; return pthread_create(&t, 0, f, 0); }\\n' >t.c && \
                 gcc -pthread -o t t.c && ./t",
        ),
        ("make", "printf 'all: a b\\na b:\\n\\ttouch $@\\n' >Makefile && make -sj2"),
        (
            "tar",
            "mkdir -p t1 && cp /bin/true t1 && chmod 755 t1/true && tar cpf t.tar t1 && rm -r t1 && tar xpf t.tar && t1/true",
        ),
        ("fifo", "mkfifo p && (echo x >p &) && read -r x <p && [ $x = x ]"),
        ("tmux", "tmux -L probe new-session -d 'sleep 5' && tmux -L probe kill-server"),
        (
            "curl",
            "(python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 &) ; \
                  curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null http://127.0.0.1:8123/",
        ),
        ("search", "echo x >x && rg -q x . && find . -name x >/dev/null && file /bin/bash >/dev/null"),
        ("processes", "ps aux >/dev/null && nice -n 5 true && timeout 5 true"),
        ("opencode", "opencode --version >/dev/null"),
    ];
    for (name, script) in works {
        let done = inside(&world, &format!("mkdir -p /workspace/{name} && cd /workspace/{name} && {script}"));
        assert_eq!(done.code, 0, "{name}: {done:?}");
    }
    let answer = world.mimir(&["send", "--frame", "box", "hello"]).ok();
    assert!(!answer.stdout.is_empty());
}
