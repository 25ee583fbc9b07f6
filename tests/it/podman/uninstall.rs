//! Containers and images, in a store of this test alone: other homes on the machine keep theirs.

use std::fs;
use std::path::Path;
use std::process::Command;

use mimir::runtime::engine::{EngineCommand, EngineSettings};
use mimir::uninstall::{Kind, survey, take};

use super::support::{on_path, skip};
use crate::uninstall::{Used, write};

const OURS: &str = "frm_01m8kym0t7s07f1cnds0af4kss";
const THEIRS: &str = "frm_01m8kym0t7s07f1cnds0af4kst";

struct Store {
    engine: EngineCommand,
}

impl Store {
    /// Empty, below that folder.
    fn at(folder: &Path) -> Self {
        let settings = EngineSettings::of_this_process(None, folder.to_owned());
        let mut engine = EngineCommand::find(&settings).expect("podman");
        engine.flags.retain(|flag| flag != "--storage-driver" && flag != "overlay");
        for (flag, name) in [("--root", "store"), ("--runroot", "store-run"), ("--tmpdir", "store-tmp")] {
            engine.flags.extend([flag.to_owned(), folder.join(name).display().to_string()]);
        }
        engine.flags.extend(["--storage-driver", "vfs"].map(str::to_owned));
        Self { engine }
    }

    fn run(&self, words: &[&str]) -> String {
        let done =
            Command::new(&self.engine.program).args(&self.engine.flags).args(words).output().expect("runs");
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn build(&self, folder: &Path, recipe: &str, name: Option<&str>) -> String {
        let file = folder.join("Containerfile");
        write(&file, recipe);
        let (file, folder) = (file.display().to_string(), folder.display().to_string());
        let mut words = vec!["build", "-q", "--format", "docker", "--pull=never", "--layers", "-f", &file];
        words.extend(name.iter().flat_map(|name| ["-t", name]));
        words.push(&folder);
        self.run(&words)
    }

    fn create(&self, home: &Path, frame: &str, instance: &str, image: &str, workspace: &Path) {
        let start = home.join("frames").join(frame).join("home");
        fs::create_dir_all(&start).expect("made");
        let labels = [
            format!("io.mimir.instance={instance}"),
            format!("io.mimir.frame={frame}"),
            format!("io.mimir.name=blog-of-{instance}"),
        ];
        let (home, work) =
            (format!("{}:/home/agent", start.display()), format!("{}:/workspace", workspace.display()));
        let name = format!("mimir-{frame}");
        let mut words = vec!["create", "--name", &name, "--network", "none", "-v", &home, "-v", &work];
        labels.iter().for_each(|label| words.extend(["--label", label]));
        words.extend([image, "/nothing"]);
        let _ = self.run(&words);
    }

    fn images(&self) -> Vec<String> {
        let listed = self.run(&["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = Command::new(&self.engine.program).args(&self.engine.flags).args(["rm", "-f", "-a"]).output();
        let _ =
            Command::new(&self.engine.program).args(&self.engine.flags).args(["rmi", "-f", "-a"]).output();
    }
}

#[tokio::test]
async fn this_homes_containers_and_the_images_go_and_another_homes_stay() {
    let test = "uninstall with a container engine";
    if on_path("podman").is_none() {
        return skip(test, "podman is not installed");
    }
    if !rustix::process::getuid().is_root() {
        return skip(test, "a store of its own needs root");
    }
    let mut used = Used::new(0);
    let store = Store::at(used.root.path());
    used.place.engine = Some(store.engine.clone());
    let context = used.at("context");
    let base = "localhost/mimir-base:bookworm";
    for (file, name) in [("a", base), ("b", "docker.io/library/other:1")] {
        write(&context.join(file), file);
        let archive = used.at(&format!("{file}.tar")).display().to_string();
        let packed = Command::new("tar").args(["-cf", &archive, "-C"]).arg(&context).arg(file).status();
        assert!(packed.expect("tar").success());
        let _ = store.run(&["import", "-q", &archive, name]);
    }
    let frame =
        |word: &str| format!("FROM {base}\nCOPY a /{word}\nENV X={word}\nLABEL io.mimir.inputs={word}\n");
    let _ = store.build(&context, &frame("older"), Some("localhost/mimir-frame:older"));
    let newer = store.build(&context, &frame("newer"), Some("localhost/mimir-frame:latest"));
    let project = "FROM localhost/mimir-frame:latest\nCOPY a /p\nLABEL io.mimir.project=x\n";
    let project = store.build(&context, project, Some("localhost/mimir-project:blog"));
    // What a person called like one of ours.
    let mine = "FROM localhost/mimir-frame:older\nCOPY a /mine\nLABEL io.mimir.project=left-out\n";
    let _ = store.build(&context, mine, Some("localhost/mimir-project:mine"));
    write(&used.place.home.join("images.made"), &format!("{newer}\n{project}\n"));
    // A build of somebody else that left an image without a name, and one of ours.
    let theirs = store.build(&context, "FROM docker.io/library/other:1\nCOPY a /theirs\n", None);
    let _ = store.build(&context, &format!("FROM {base}\nENV STAGE=1\n"), None);

    let workspace = used.at("me/blog");
    store.create(&used.place.home, OURS, "ins_ours", "localhost/mimir-frame:latest", &workspace);
    store.create(&used.at("me/.mimir-2"), THEIRS, "ins_theirs", "localhost/mimir-frame:older", &workspace);

    let found = survey(&used.place).await.expect("looks");
    let of = |kind: Kind| found.items.iter().filter(|item| item.kind == kind).collect::<Vec<_>>();
    assert_eq!(of(Kind::Container).len(), 1, "{found:?}");
    assert!(of(Kind::Container)[0].what.contains("blog-of-ins_ours"), "{found:?}");
    let images: Vec<&str> = of(Kind::Image).iter().map(|item| item.what.as_str()).collect();
    assert_eq!(images, ["localhost/mimir-project:blog", "localhost/mimir-frame:latest"]);
    assert!(of(Kind::Stage).len() >= 2, "{found:?}");
    let stays = found.stays.join("\n");
    assert!(stays.contains(&format!("the project in {}", workspace.display())), "{stays}");
    assert!(stays.contains("localhost/mimir-frame:older: container mimir-"), "{stays}");
    assert!(stays.contains("50-mimir.conf: other homes of mimir have frames on this machine"), "{stays}");

    // Killed after the container went, and once more.
    let begun = found.items.iter().take(2).cloned().collect();
    take(&used.place, begun, |_| {}).await;
    let found = survey(&used.place).await.expect("looks");
    for taken in take(&used.place, found.items, |_| {}).await {
        assert_eq!(taken.problem, None, "{:?}", taken.item);
    }
    let left = store.run(&["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(left, format!("mimir-{THEIRS}"));
    assert_eq!(
        store.images(),
        [
            "<none>:<none>",
            "docker.io/library/other:1",
            "localhost/mimir-base:bookworm",
            "localhost/mimir-frame:older",
            "localhost/mimir-project:mine"
        ]
    );
    assert!(store.run(&["image", "inspect", "--format", "{{.Id}}", &theirs]).starts_with(&theirs));
    assert!(workspace.join("README.md").exists() && !used.place.home.exists());

    // The other home goes as well: then nothing is left of any.
    let _ = store.run(&["rm", &format!("mimir-{THEIRS}")]);
    let _ = store.run(&["rmi", "localhost/mimir-project:mine"]);
    let found = survey(&used.place).await.expect("looks");
    let rest = take(&used.place, found.items, |_| {}).await;
    assert!(rest.iter().all(|taken| taken.problem.is_none()), "{rest:?}");
    assert_eq!(store.images(), ["<none>:<none>", "docker.io/library/other:1"]);
}
