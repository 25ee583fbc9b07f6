//! What `scripts/package` makes, of the program that was just built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::podman::support::{on_path, skip};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn run(command: &mut Command) -> Output {
    let done = command.output().expect("it runs");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// What packs the program.
fn packing(program: &Path, out: &Path) -> Command {
    let mut command = Command::new(Path::new(ROOT).join("scripts/package"));
    command.arg("--binary").arg(program).arg("--out").arg(out).env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

/// Packs it; gives the sums of what was made.
fn pack(program: &Path, out: &Path) -> String {
    let mut command = packing(program, out);
    let man = Command::new(program).arg("man").arg(out.join("man")).output().expect("runs");
    if man.status.success() {
        fs::remove_dir_all(out.join("man")).expect("removed");
    } else {
        command.arg("--no-man");
    }
    run(&mut command);
    fs::read_to_string(out.join("SHA256SUMS")).expect("sums")
}

fn name_of(out: &Path, ending: &str) -> String {
    let names = fs::read_dir(out).expect("reads").flatten();
    let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.ends_with(ending)).unwrap_or_else(|| panic!("no {ending}"))
}

/// An archive as the engine saves an image of those inputs for that processor.
fn save(folder: &Path, inputs: &str, architecture: &str) -> std::path::PathBuf {
    fs::create_dir_all(folder).expect("made");
    let config = serde_json::json!({
        "architecture": architecture, "config": {"Labels": {"io.mimir.inputs": inputs}},
    });
    fs::write(folder.join("config.json"), config.to_string()).expect("written");
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["localhost/mimir-frame:x"], "Layers": []}]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("written");
    let archive = folder.join("image.tar");
    let mut tar = Command::new("tar");
    run(tar.arg("-cf").arg(&archive).arg("-C").arg(folder).args(["manifest.json", "config.json"]));
    archive
}

#[test]
fn the_image_is_packed_for_the_program_that_will_load_it_and_for_no_other() {
    let test = "packages of the image";
    for program in ["dpkg-deb", "python3", "git", "tar", "zstd"] {
        if on_path(program).is_none() {
            return skip(test, &format!("{program} is not installed"));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (program, out) = (folder.path().join("mimir"), folder.path().join("out"));
    fs::copy(env!("CARGO_BIN_EXE_mimir"), &program).expect("copied");
    let _ = Command::new("strip").arg(&program).output();
    let inputs = run(Command::new(&program).args(["image", "inputs"]).env("HOME", folder.path())).stdout;
    let inputs = String::from_utf8(inputs).expect("text").trim().to_owned();

    let architecture = run(Command::new("dpkg").arg("--print-architecture")).stdout;
    let architecture = String::from_utf8(architecture).expect("text").trim().to_owned();
    for (inputs, architecture) in [("0".repeat(64), architecture.as_str()), (inputs.clone(), "s390x")] {
        let foreign = save(&folder.path().join("foreign"), &inputs, architecture);
        let refused = packing(&program, &out).arg("--no-man").arg("--image-archive").arg(&foreign).output();
        let refused = refused.expect("runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("is not the frame image of"), "{said}");
    }

    let image = save(&folder.path().join("image"), &inputs, &architecture);
    run(packing(&program, &out).arg("--no-man").arg("--image-archive").arg(&image));
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&out));
    let sums = fs::read_to_string(out.join("SHA256SUMS")).expect("sums");
    assert_eq!(sums.lines().count(), 4, "{sums}");
    let mut names = sums.lines().filter_map(|line| line.split_whitespace().nth(1));
    let deb = out.join(names.find(|name| name.starts_with("mimir-image_")).expect("a package"));
    let control = String::from_utf8(run(Command::new("dpkg-deb").arg("-f").arg(&deb)).stdout).expect("text");
    assert!(control.contains(concat!("Depends: mimir (= ", env!("CARGO_PKG_VERSION"), ")")), "{control}");

    // Where the program looks: `share/mimir` beside its `bin`, in the package as in the archive.
    let name = format!("share/mimir/frame-{}.tar.zst", &inputs[..16]);
    let (root, local) = (folder.path().join("root"), folder.path().join("local"));
    fs::create_dir(&local).expect("made");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root));
    let archive = out.join(name_of(&out, "-linux.tar"));
    run(Command::new("tar").arg("-C").arg(&local).arg("-xf").arg(&archive));
    for place in [root.join("usr").join(&name), local.join(&name)] {
        let unpacked = run(Command::new("zstd").args(["-d", "-q", "-c"]).arg(&place)).stdout;
        assert_eq!(unpacked, fs::read(&image).expect("the archive"), "{}", place.display());
    }
    assert!(root.join("usr/share/doc/mimir-image/copyright").is_file());
}

#[test]
fn the_package_and_the_archive_hold_a_program_that_needs_no_repository() {
    let test = "packages";
    for program in ["dpkg-deb", "python3", "git", "tar"] {
        if on_path(program).is_none() {
            return skip(test, &format!("{program} is not installed"));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("mimir");
    fs::copy(env!("CARGO_BIN_EXE_mimir"), &program).expect("copied");
    // Symbols would only take time.
    let _ = Command::new("strip").arg(&program).output();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::create_dir_all(&one).expect("made");
    fs::create_dir_all(&two).expect("made");
    let sums = pack(&program, &one);
    assert_eq!(sums, pack(&program, &two), "the same program gives the same bytes");
    assert_eq!(sums.lines().count(), 2, "{sums}");
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&one));

    let deb = one.join(name_of(&one, ".deb"));
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root));
    for file in [
        "usr/share/bash-completion/completions/mimir",
        "usr/share/zsh/vendor-completions/_mimir",
        "usr/share/fish/vendor_completions.d/mimir.fish",
        "usr/share/doc/mimir/copyright",
        "usr/share/doc/mimir/changelog.gz",
        "usr/share/doc/mimir/THIRD-PARTY.gz",
    ] {
        let found = fs::metadata(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(found.len() > 100 && found.permissions().mode() & 0o777 == 0o644, "{file}: {found:?}");
    }
    let unit = fs::read_to_string(root.join("usr/lib/systemd/user/mimir.service")).expect("the unit");
    assert!(unit.starts_with("[Unit]") && unit.contains("\nExecStart=/usr/bin/mimir serve\n"), "{unit}");
    let copyright = fs::read_to_string(root.join("usr/share/doc/mimir/copyright")).expect("the licences");
    assert!(
        copyright.contains("License: Apache-2.0 or Expat")
            && copyright.contains("Permission is hereby granted")
    );
    let control = String::from_utf8(run(Command::new("dpkg-deb").arg("-f").arg(&deb)).stdout).expect("text");
    for needed in ["passt | slirp4netns", "crun | runc", " podman", " uidmap", " mmdebstrap"] {
        assert!(control.contains(needed), "{needed}: {control}");
    }
    for unneeded in ["gcc", "libssl", "python3", "pkg-config"] {
        assert!(!control.contains(unneeded), "{unneeded}: {control}");
    }

    // Away from the repository, with an empty home.
    let installed = root.join("usr/bin/mimir");
    let away = |words: &[&str]| {
        let mut command = Command::new(&installed);
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path());
        command.current_dir("/").output().expect("runs")
    };
    let version = away(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), concat!("mimir ", env!("CARGO_PKG_VERSION")));
    let setup = away(&["setup", "--check"]);
    assert!(matches!(setup.status.code(), Some(0 | 1 | 69)), "{setup:?}");
    let inputs = away(&["image", "inputs"]);
    assert_eq!(
        inputs.stdout.trim_ascii_end().len(),
        64,
        "it carries what its image is built from: {inputs:?}"
    );

    let archive = one.join(name_of(&one, ".tar.gz"));
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()));
    let unpacked = folder.path().join(name_of(&one, ".tar.gz").trim_end_matches(".tar.gz"));
    for file in ["bin/mimir", "README", "share/doc/mimir/LICENSE-MIT", "share/doc/mimir/LICENSE-APACHE"] {
        assert!(unpacked.join(file).is_file(), "{file}");
    }
    let unit = fs::read_to_string(unpacked.join("share/systemd/user/mimir.service")).expect("the unit");
    assert!(unit.contains("\nExecStart=%h/.local/bin/mimir serve\n"), "{unit}");
}

/// What the release of a tag types is there, and so is each option of it.
#[test]
fn the_release_of_a_tag_makes_the_program_and_its_image() {
    let text = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).expect("a file");
    let workflow = text(".github/workflows/release.yml");
    assert!(workflow.contains("\n  release:\n    needs: package\n"), "{workflow}");
    assert!(workflow.contains("\n  package:\n    needs: program\n"), "{workflow}");
    let calls: Vec<&str> =
        workflow.lines().map(str::trim).filter(|line| line.starts_with("scripts/")).collect();
    for call in &calls {
        let (script, rest) = call.split_once(' ').unwrap_or((*call, ""));
        let own = text(script);
        for option in rest.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(own.contains(&format!("{option})")), "{script} knows no {option}");
        }
    }
    let makes = |words: &[&str]| calls.iter().any(|call| words.iter().all(|word| call.contains(word)));
    assert!(makes(&["scripts/frame-image", "frame.tar"]), "{calls:?}");
    assert!(makes(&["scripts/package", "--image-archive", "frame.tar"]), "{calls:?}");
}
