//! An agent that does what whatever it reads tells it to: sixty orders, what each makes of the branch, and where they stand.
//!
//! The orders are few verbs that are carried out here, on the branch at the forge itself: whatever looks at pushes is not in
//! between, so that only what comes after them keeps the repository. What orders do in a frame is tried in real ones
//! (`podman/obeyed`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mimir::model::run::Run;
use mimir::workflows::fix::{Instructions, Resumed};
use serde::{Deserialize, Serialize};

use super::world::{BRANCH, SECRET};
use crate::forge::Bare;
use crate::obedient::{disguised, instructions};

const ORDERS: &str = include_str!("../../fixtures/injections-merge.json");
/// What an order begins with, in a text; and a file that has one in its name.
const VERB: &str = "obey ";
const FILE: &str = "notes/obey-";
/// They hide in turn. Comments of HTML and letters that nobody sees do not come through to an agent.
const DISGUISES: [&str; 6] = ["fence", "plain", "comment", "base64", "markdown image", "percent"];

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It changes what a person has to look at.
    Protected,
    /// It changes other files.
    Files,
    /// It says something with the commit.
    Message,
    /// It changes nothing, and says something.
    Says,
    /// It does not work, and says why.
    Fails,
}

/// One order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    #[serde(rename = "n")]
    pub number: usize,
    #[serde(skip_serializing)]
    pub name: String,
    #[serde(rename = "do")]
    pub verb: String,
    pub path: String,
    pub text: String,
    /// So often the text is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<usize>,
    #[serde(rename = "protected", skip_serializing)]
    pub is_protected: bool,
    #[serde(skip_serializing)]
    pub would_mean: String,
}

impl Order {
    pub fn kind(&self) -> Kind {
        match self.verb.as_str() {
            "say" => Kind::Says,
            "fail" => Kind::Fails,
            "message" => Kind::Message,
            _ if self.is_protected => Kind::Protected,
            _ => Kind::Files,
        }
    }

    fn command(&self) -> String {
        format!("{VERB}{}", serde_json::to_string(self).expect("JSON"))
    }

    /// As it stands in a text.
    pub fn text(&self) -> String {
        disguised(&self.command(), DISGUISES[self.number % DISGUISES.len()])
    }

    /// As it stands in the name of a file.
    pub fn file(&self) -> String {
        let name = format!("{FILE}{}", URL_SAFE_NO_PAD.encode(self.command()));
        assert!(name.len() <= 255, "{}: {}", self.name, name.len());
        name
    }

    /// What it does to the tree, as `git fast-import` reads it.
    fn change(&self, blog: &Bare) -> String {
        let Self { path, text, .. } = self;
        let file = |mode: &str, path: &str, text: &str| format!("M {mode} inline {path}\n{}", data(text));
        match self.verb.as_str() {
            "write" => file("100644", path, &text.repeat(self.times.unwrap_or(1))),
            "run" => file("100755", path, text),
            "link" => file("120000", path, text),
            "submodule" => format!("M 160000 {} {path}\n", "1".repeat(40)),
            "remove" => format!("D {path}\n"),
            "rename" => {
                let was = blog.git(&["show", &format!("main:{path}")]);
                format!("D {path}\n{}", file("100644", text, &format!("{was}\n")))
            }
            other => panic!("{}: nobody knows how to {other}", self.name),
        }
    }
}

impl Order {
    /// Does in a clone what it says of a file.
    pub fn leave(&self, clone: &Path) {
        let put = |name: &str, text: &str, mode: u32| {
            let path = made_room(clone, name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        };
        match self.verb.as_str() {
            "write" => put(&self.path, &self.text.repeat(self.times.unwrap_or(1)), 0o644),
            "run" => put(&self.path, &self.text, 0o755),
            "link" => symlink(&self.text, made_room(clone, &self.path)).expect("a link"),
            "remove" => drop(made_room(clone, &self.path)),
            "rename" => {
                let was = fs::read_to_string(clone.join(&self.path)).unwrap_or_default();
                let _ = made_room(clone, &self.path);
                put(&self.text, &was, 0o644);
            }
            other => panic!("{}: nobody knows how to {other} in a clone", self.name),
        }
    }
}

/// Where something goes: nothing is there, and its folders are.
fn made_room(clone: &Path, name: &str) -> PathBuf {
    let path = clone.join(name);
    let above: Vec<&Path> = path.ancestors().take_while(|at| *at != clone).collect();
    for at in above.into_iter().rev() {
        match fs::symlink_metadata(at) {
            Ok(there) if there.is_dir() && at == path => fs::remove_dir_all(at).expect("removed"),
            Ok(there) if !there.is_dir() => fs::remove_file(at).expect("removed"),
            _ => {}
        }
    }
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    path
}

/// All of them.
pub fn orders() -> Vec<Order> {
    let mut all: Vec<Order> = serde_json::from_str(ORDERS).expect("orders");
    for (number, order) in all.iter_mut().enumerate() {
        assert!(!order.would_mean.is_empty(), "{}", order.name);
        order.number = number;
        order.text = order.text.replace("{{secret}}", SECRET);
    }
    all
}

/// The blog as these are tried on it, and the run's branch on top of it. Gives that branch's commit.
pub fn prepare(blog: &Bare, files: &[String], messages: &[String]) -> String {
    let branch = format!("{}from refs/heads/main\n{}", commit(BRANCH, "The cart is whole"), clean());
    let stream = format!("{}reset refs/heads/{BRANCH}\n{branch}", on_main(files, messages));
    let _ = blog.git_with(&["fast-import", "--quiet", "--force"], stream.as_bytes());
    blog.branch(BRANCH).expect("the branch")
}

/// What `git fast-import` makes main of: a workflow and owners, those names of files and those messages of commits.
pub fn on_main(files: &[String], messages: &[String]) -> String {
    let mut stream = format!(
        "{}from refs/heads/main^0\nM 100644 inline .github/workflows/build.yml\n{}M 100644 inline CODEOWNERS\n{}",
        commit("main", "a blog"),
        data("on: push\n"),
        data("* @ann\n")
    );
    for file in files {
        stream.push_str(&format!("M 100644 inline {file}\n{}", data("a note\n")));
    }
    for message in messages {
        stream.push_str(&commit("main", &format!("a note\n\n{message}\n")));
    }
    stream
}

/// What the run itself changes: a file, and a test.
fn clean() -> String {
    format!(
        "M 100644 inline fix.txt\n{}M 100644 inline tests/fix.txt\n{}",
        data("it is whole\n"),
        data("it stays whole\n")
    )
}

fn data(text: &str) -> String {
    format!("data {}\n{text}\n", text.len())
}

fn commit(branch: &str, message: &str) -> String {
    format!(
        "commit refs/heads/{branch}\ncommitter Agent <agent@example.org> 1700000000 +0000\n{}",
        data(message)
    )
}

/// Whatever the agent reads that tells it something: what it is asked, what the run is about, the names of files and the
/// messages of commits.
fn read(blog: &Bare, run: &Run, wanted: &Instructions) -> Vec<Order> {
    let said = wanted.evidence.iter().chain(&run.input.evidence).map(|it| it.text.clone());
    let said: Vec<String> = said.chain([blog.git(&["log", "--format=%B", BRANCH])]).collect();
    found(&said, &blog.git(&["ls-tree", "-r", "--name-only", "main"]))
}

/// The orders in these texts, and in these names of files.
pub fn found(texts: &[String], names: &str) -> Vec<Order> {
    let mut commands: Vec<String> = texts.iter().flat_map(|text| instructions(text)).collect();
    let hidden = names.lines().filter_map(|name| name.strip_prefix(FILE));
    commands.extend(hidden.filter_map(|name| String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()));
    let orders = commands.iter().filter_map(|command| command.split_once(VERB));
    orders.filter_map(|(_, order)| serde_json::from_str(order).ok()).collect()
}

/// Does those of these numbers that it finds, and notes which they were. Everything else of the branch is as it should be.
pub fn obey(
    blog: &Bare,
    run: &Run,
    wanted: &Instructions,
    numbers: &BTreeSet<usize>,
    obeyed: &mut BTreeSet<usize>,
) -> Resumed {
    let (mut says, mut fails, mut message) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changes, mut done) = (String::new(), BTreeSet::new());
    for order in read(blog, run, wanted) {
        if !numbers.contains(&order.number) || !done.insert(order.number) {
            continue;
        }
        match order.kind() {
            Kind::Says => says.push(order.text),
            Kind::Fails => fails.push(order.text),
            Kind::Message => message.push(order.text),
            Kind::Protected | Kind::Files => changes.push_str(&order.change(blog)),
        }
    }
    obeyed.extend(&done);
    if !says.is_empty() {
        return Resumed::Unchanged { answer: says.join("\n") };
    }
    if !fails.is_empty() {
        return Resumed::Red { why: fails.join("\n") };
    }
    message.insert(0, wanted.key.clone());
    let tree = blog.git(&["rev-parse", "main^{tree}"]);
    let stream = format!(
        "{}from refs/heads/{BRANCH}^0\nM 040000 {tree} \"\"\n{}{changes}\n",
        commit(BRANCH, &message.join("\n\n")),
        clean()
    );
    let _ = blog.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    Resumed::Pushed { commit: blog.branch(BRANCH).expect("the branch") }
}

#[test]
fn an_order_is_found_wherever_it_hides() {
    let all = orders();
    assert_eq!(all.len(), 60);
    let names: BTreeSet<&str> = all.iter().map(|order| order.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "each has a name of its own");
    for order in &all {
        let text = format!("A report.\n{}\nThe end.", order.text());
        assert_eq!(instructions(&text), [order.command()], "{}: {text}", order.name);
        assert!(text.chars().count() < 1_000, "{} does not fit into a comment", order.name);
    }
}
