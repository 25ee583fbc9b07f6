//! The build with an engine that is a few lines of shell: it writes down what it is asked and plays a part.

use std::os::unix::fs::PermissionsExt;

use super::*;

struct Stage {
    folder: tempfile::TempDir,
    engine: EngineCommand,
}

impl Stage {
    /// `part` is the body of a shell `case` over the subcommand.
    fn new(part: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>{folder}/calls\nlast=; for word; do \
             [ \"$last\" = --iidfile ] && id=$word; last=$word; done\ncase \"$1 $2\" in\n{part}\nesac\n",
            folder = folder.path().display()
        );
        let engine =
            EngineCommand { program: folder.path().join("podman"), flags: Vec::new(), notes: Vec::new() };
        let stage = Self { folder, engine };
        stage.program("podman", &script);
        stage
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.folder.path().join(name);
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn build(&self, base: Option<&str>) -> (Result<BuiltImage, BuildError>, Vec<BuildProgress>) {
        let scratch = self.folder.path().join("scratch");
        let _ = std::fs::create_dir(&scratch);
        let (sender, mut receiver) = mpsc::channel(1000);
        let request = BuildRequest {
            base: base.map(str::to_owned),
            force: false,
            project: None,
            shipped: Some(self.folder.path().join("shipped")),
            scratch: Some(scratch.clone()),
            search_path: Some(format!("{}:/usr/bin:/bin", self.folder.path().display()).into()),
            made: Some(self.folder.path().join(MADE)),
        };
        let built = build(&self.engine, request, sender).await;
        assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "temporary files are left");
        let mut told = Vec::new();
        while let Ok(progress) = receiver.try_recv() {
            told.push(progress);
        }
        (built, told)
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }
}

const BUILDS: &str = "build*) echo '[1/2] STEP 1/3: FROM base'; echo out; echo 'STEP 2/3: RUN x'; \
                      echo sha256:77aa >$id;; tag*) ;;";

fn base_argument(calls: &str) -> &str {
    calls.split_once("BASE_IMAGE=").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("none")
}

#[tokio::test]
async fn an_image_of_the_same_inputs_is_not_built_again() {
    let told = [inputs_hash(), our_architecture().unwrap_or_default().to_owned()].join(" ");
    let part = format!("'image inspect') echo 'sha256:77aa {told}';; tag*) ;; *) exit 9;;");
    let stage = Stage::new(&part);
    let (built, _) = stage.build(None).await;
    let built = built.unwrap();
    assert!(!built.built);
    assert_eq!(built.id, "77aa");
    assert!(stage.calls().contains("tag 77aa localhost/mimir-frame:latest"), "{}", stage.calls());
}

/// As a package leaves it.
fn ship(stage: &Stage, hash: &str) {
    let folder = stage.folder.path().join("shipped");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("frame-{}.tar.zst", &hash[..16])), "an archive").unwrap();
}

#[tokio::test]
async fn an_image_that_came_with_the_program_is_loaded_and_not_built() {
    let hash = inputs_hash();
    // The engine knows the image once it was loaded.
    let part = format!(
        "'image inspect') [ -e $0.loaded ] || exit 125; echo '77aa {hash}';; load*) : >$0.loaded;; tag*) ;; *) exit 9;;"
    );
    let stage = Stage::new(&part);
    ship(&stage, &hash);
    let (built, told) = stage.build(None).await;
    let built = built.unwrap();
    assert_eq!((built.id.as_str(), built.built, built.loaded), ("77aa", false, true));
    assert!(built.base.ends_with(&format!("shipped/frame-{}.tar.zst", &hash[..16])), "{}", built.base);
    assert!(stage.calls().contains("tag 77aa localhost/mimir-frame:latest"), "{}", stage.calls());
    assert!(matches!(&told[..], [BuildProgress::Step { number: 0, .. }]), "{told:?}");
    let (again, _) = stage.build(None).await;
    assert!(!again.unwrap().loaded, "it is there");
    assert_eq!(stage.calls().matches("load -q -i ").count(), 1, "{}", stage.calls());
}

#[tokio::test]
async fn an_archive_that_is_of_no_use_is_said_and_the_image_is_built() {
    for (load, said) in [("exit 1", "could not load the frame image"), ("true", "holds another image")] {
        let part = format!("'image inspect') echo '77aa old';; 'image exists') ;; load*) {load};; {BUILDS}");
        let stage = Stage::new(&part);
        ship(&stage, &inputs_hash());
        let (built, told) = stage.build(None).await;
        let built = built.unwrap();
        assert!(built.built && !built.loaded, "{built:?}");
        let is_said =
            |it: &BuildProgress| matches!(it, BuildProgress::Output { text } if text.contains(said));
        assert!(told.iter().any(is_said), "{told:?}");
    }
    // One that another machine could run.
    let part = format!(
        "'image inspect') [ -e $0.loaded ] || exit 125; echo '77aa {} s390x';; 'image exists') ;; load*) : >$0.loaded;; \
         {BUILDS}",
        inputs_hash()
    );
    let stage = Stage::new(&part);
    ship(&stage, &inputs_hash());
    let (built, told) = stage.build(None).await;
    let is_said =
        |it: &BuildProgress| matches!(it, BuildProgress::Output { text } if text.contains("or none for"));
    assert_eq!(built.unwrap().built, our_architecture().is_some(), "{told:?}");
    assert_eq!(told.iter().any(is_said), our_architecture().is_some(), "{told:?}");
    // One for other inputs is not looked at.
    let stage = Stage::new(&format!("'image inspect') exit 125;; 'image exists') ;; {BUILDS}"));
    ship(&stage, &"0".repeat(64));
    assert!(stage.build(None).await.0.unwrap().built);
    assert!(!stage.calls().contains("load"), "{}", stage.calls());
}

#[tokio::test]
async fn a_tag_that_was_moved_to_another_image_is_not_believed() {
    let stage = Stage::new(&format!("'image inspect') echo '77aa old';; 'image exists') ;; {BUILDS}"));
    let (built, _) = stage.build(None).await;
    assert!(built.unwrap().built);
}

#[tokio::test]
async fn a_base_that_is_here_is_used_and_steps_are_told() {
    let stage = Stage::new(&format!("'image inspect') exit 125;; 'image exists') ;; {BUILDS}"));
    let (built, told) = stage.build(None).await;
    let built = built.unwrap();
    assert!(built.base.starts_with("localhost/mimir-base:bookworm: "), "{}", built.base);
    assert_eq!(built.id, "77aa");
    assert_eq!(built.tags[0], format!("localhost/mimir-frame:{}", &inputs_hash()[..12]));
    let of = inputs::steps();
    let wanted = [
        BuildProgress::Step { number: 1, of, text: "FROM base".into() },
        BuildProgress::Output { text: "out".into() },
        BuildProgress::Step { number: 2, of, text: "RUN x".into() },
    ];
    assert_eq!(told, wanted);
    assert!(!stage.calls().contains("pull -q"), "{}", stage.calls());
}

#[tokio::test]
async fn without_a_base_the_registry_is_asked() {
    let stage = Stage::new(&format!("'image inspect'|'image exists') exit 1;; pull*) ;; {BUILDS}"));
    let (built, _) = stage.build(None).await;
    assert!(built.unwrap().base.contains("registry"));
    assert_eq!(base_argument(&stage.calls()), "docker.io/library/debian:bookworm-slim");
}

const NO_REGISTRY: &str =
    "'image inspect'|'image exists') exit 1;; pull*) echo 'no route to host' >&2; exit 125;; import*) ;;";

#[tokio::test]
async fn without_a_registry_a_base_is_made_from_packages() {
    let stage = Stage::new(&format!("{NO_REGISTRY} {BUILDS}"));
    stage.program("mmdebstrap", "#!/bin/sh\necho 'I: unpacking' >&2\necho tar\n");
    stage.program("newuidmap", "#!/bin/sh\n");
    let (built, told) = stage.build(None).await;
    if let Err(BuildError::NoBase { tried }) = &built
        && tried.contains("/etc/sub")
    {
        println!("skipped: this user has no subordinate ids, which is what it says: {tried}");
        return;
    }
    assert!(built.unwrap().base.contains("Debian's packages"), "{told:?}");
    assert_eq!(base_argument(&stage.calls()), "localhost/mimir-base:bookworm");
    assert!(stage.calls().contains("import -q"), "{}", stage.calls());
}

#[tokio::test]
async fn when_nothing_gives_a_base_everything_that_was_tried_is_told() {
    let stage = Stage::new(NO_REGISTRY);
    stage.program("mmdebstrap", "#!/bin/sh\necho 'E: no mirror' >&2\nexit 7\n");
    stage.program("newuidmap", "#!/bin/sh\n");
    let (built, _) = stage.build(None).await;
    let Err(BuildError::NoBase { tried }) = &built else { panic!("{built:?}") };
    assert!(tried.contains("no route to host") && tried.contains("base-image"), "{tried}");
}

#[tokio::test]
async fn a_base_that_was_asked_for_is_used_or_named_in_the_error() {
    let stage = Stage::new(&format!("'image inspect') exit 1;; 'image exists') ;; {BUILDS}"));
    assert!(stage.build(Some("localhost/mine:1")).await.0.unwrap().built);
    assert_eq!(base_argument(&stage.calls()), "localhost/mine:1");

    let stage = Stage::new(NO_REGISTRY);
    let (built, _) = stage.build(Some("localhost/mine:1")).await;
    assert!(
        matches!(&built, Err(BuildError::NoSuchBase { reference, why })
            if reference == "localhost/mine:1" && why.contains("no route")),
        "{built:?}"
    );
}

#[tokio::test]
async fn a_base_that_reads_like_an_option_reaches_no_engine() {
    let stage = Stage::new(NO_REGISTRY);
    let (built, _) = stage.build(Some("--tls-verify=false")).await;
    assert!(matches!(&built, Err(BuildError::NoSuchBase { .. })), "{built:?}");
    assert!(!stage.calls().contains("tls-verify"), "{}", stage.calls());
}

#[tokio::test]
async fn a_build_that_fails_shows_its_last_lines_and_names_nothing() {
    let part = "'image inspect') exit 1;; 'image exists') ;; build*) echo one; echo 'E: two' >&2; exit 1;;";
    let stage = Stage::new(part);
    let (built, _) = stage.build(None).await;
    let Err(BuildError::Failed { action, last }) = &built else { panic!("{built:?}") };
    assert_eq!(*action, "build the frame image");
    assert!(last.contains("one") && last.contains("E: two"), "{last}");
    assert!(!stage.calls().contains("tag "), "{}", stage.calls());
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let part = "'image inspect') exit 1;; 'image exists') ;; build*) echo 'x: no space left on device' >&2; exit 1;;";
    let (built, _) = Stage::new(part).build(None).await;
    assert!(matches!(built, Err(BuildError::DiskFull { .. })), "{built:?}");
}

#[tokio::test]
async fn an_engine_that_cannot_be_run_is_named() {
    let stage = Stage::new("");
    std::fs::remove_file(&stage.engine.program).unwrap();
    let (built, _) = stage.build(None).await;
    assert!(
        matches!(&built, Err(BuildError::NoEngine { program, .. }) if program.ends_with("/podman")),
        "{built:?}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let stage = Stage::new("'image inspect') exit 1;;");
    let request =
        BuildRequest { scratch: Some(stage.folder.path().join("nowhere")), ..BuildRequest::default() };
    let built = build(&stage.engine, request, mpsc::channel(9).0).await;
    assert!(
        matches!(&built, Err(BuildError::Scratch { folder, .. }) if folder.contains("nowhere")),
        "{built:?}"
    );
}

#[tokio::test]
async fn a_projects_image_is_built_on_the_frame_image_and_named_after_it() {
    let known = format!("case $last in *mimir-frame*) echo '55ff {}';; *) exit 125;; esac", inputs_hash());
    let stage = Stage::new(&format!("'image inspect') {known};; {BUILDS}"));
    let project = ProjectRecipe {
        name: "blog".into(),
        with: Vec::new(),
        containerfile: Some("FROM mimir-frame".into()),
    };
    let made = stage.folder.path().join(MADE);
    let request = BuildRequest {
        project: Some(project),
        scratch: Some(stage.folder.path().to_owned()),
        made: Some(made.clone()),
        ..BuildRequest::default()
    };
    let (sender, _progress) = mpsc::channel(1000);
    let built = build(&stage.engine, request, sender).await.unwrap();
    assert_eq!((built.id.as_str(), built.built), ("77aa", true));
    assert_eq!(built.tags[0], "localhost/mimir-project:blog");
    let calls = stage.calls();
    assert!(calls.contains("tag 77aa localhost/mimir-project:blog"), "{calls}");
    assert_eq!(calls.matches("build --format").count(), 1, "the frame image was there: {calls}");
    assert_eq!(std::fs::read_to_string(made).unwrap(), "77aa\n", "and may be another home's");
}
