//! A push that the forge refuses because of its credential: the run says what to do about it, and when that was done
//! `mimir runs retry` leads to one branch and one pull request.

use std::sync::Arc;
use std::time::Duration;

use mimir::model::git::PushState;
use mimir::model::ids::RunId;
use mimir::model::run::{Run, RunState};
use mimir::store::runs;
use mimir::supervisor::Tasks;
use serde_json::json;

use super::mends_world::{machine, start};
use super::world::{OWNER, manual, says};
use crate::agent::scripted::ScriptedAgent;
use crate::forge::{Bare, Forge, TOKEN};
use crate::machine::{Gateway, Machine};

const SHOP: &str = "me/shop";
/// One that was taken back.
const OLD_TOKEN: &str = "ghp_takenback0123456789abcdef0123456789ab";
const LIMIT: Duration = Duration::from_secs(60);
const RUNNING: &[&str] = &["frames", "feeds", "queue", "timers", "pushes", "workflows"];
const WORKFLOW: &str = "\
name: fix
description: From a report to a pull request
inputs:
  repo: {}
stages:
  - { name: analyse, kind: analyse }
  - { name: fix, kind: fix, allow: [], rounds: 2, prove: false, checks: [\"grep -q whole cart.txt\"] }
  - { name: push, kind: push }
  - { name: pull_request, kind: pull_request }
";

struct World {
    forge: Forge,
    bare: Bare,
    machine: Machine,
    agent: Arc<ScriptedAgent>,
    agents: Tasks,
    gateway: Gateway,
}

impl World {
    /// Everybody may read the repository; nobody may write with the old token.
    async fn new() -> Self {
        let forge = Forge::start().await;
        let bare = forge.public(SHOP);
        bare.add("main", "cart.txt", "nothing\n");
        let (agent, agents) = (ScriptedAgent::start(), Tasks::default());
        let report = json!({"cause": "nothing is in the cart", "evidence": [{"file": "cart.txt", "line": 1}],
            "confidence": 0.9, "plan": ["put it in"], "summary": "The cart is whole"});
        // A report, and a fix; in each run behind it a fix that is red, and one that is not.
        agent.plays([&report.to_string(), "Done.", "Done.", "Done.", "Done.", "Done."].map(says));
        let machine = machine(&agent, &agents, forge.address);
        let folder = machine.paths.home().join("workflows");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("fix.yaml"), WORKFLOW).expect("written");
        let gateway = start(&machine, &agent, &forge.host_of_kind("github"), OLD_TOKEN, RUNNING);
        Self { forge, bare, machine, agent, agents, gateway }
    }

    /// Another gateway, with the token that opens the forge.
    async fn mend(&mut self) {
        self.gateway.stop.cancel();
        assert!(self.gateway.tasks.stop(LIMIT).await, "everything ends");
        self.gateway = start(&self.machine, &self.agent, &self.forge.host_of_kind("github"), TOKEN, RUNNING);
    }

    /// The run when it is over and nothing is left of its frames.
    async fn end_of(&self, id: &RunId) -> Run {
        let (store, end) = (&self.gateway.services.store, tokio::time::Instant::now() + LIMIT);
        loop {
            let of = id.clone();
            let seen = store.read(move |db| {
                Ok((runs::get(db, &of)?, mimir::store::frames::list(db)?.len(), runs::timeline(db, &of)?))
            });
            let (run, frames, timeline) = seen.await.expect("rows");
            if run.state.is_end() && frames == 0 {
                return run;
            }
            assert!(tokio::time::Instant::now() < end, "{frames} frames, {run:#?}\n{timeline:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many pushes are in each state that there is.
    async fn pushes(&self) -> (usize, usize) {
        let all = self.gateway.services.pushes.list(None, true).await.expect("rows");
        let count = |state: PushState| all.iter().filter(|push| push.state == state).count();
        let counted = (count(PushState::Pushed), count(PushState::Rejected));
        assert_eq!(counted.0 + counted.1, all.len(), "nothing is left to be pushed: {all:#?}");
        counted
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.tasks.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_push_that_is_refused_says_what_to_mend_and_a_retry_behind_that_is_one_pull_request() {
    let mut world = World::new().await;
    let repo = world.forge.name_of(SHOP);
    let workflows = world.gateway.services.workflows.clone();
    let first = workflows.start(&OWNER, manual("fix", &[("repo", &repo)])).await.expect("started");
    // Tried again while nothing is mended, it says the same again, and leaves as little.
    let mut failed = world.end_of(&first.id).await;
    for tried in 1..=2 {
        let why = failed.reason.clone().unwrap_or_default();
        assert_eq!((failed.state, failed.stage.as_str()), (RunState::Failed, "push"), "{why}");
        assert!(
            why.contains("`git.credentials`") && why.contains(&format!("`mimir runs retry {}`", failed.id)),
            "{why}"
        );
        assert!(!why.contains(OLD_TOKEN), "{why}");
        assert_eq!(world.bare.heads().len(), 1, "{:?}", world.bare.heads());
        assert_eq!(world.pushes().await, (0, tried));
        if tried == 1 {
            let again = workflows.retry(&OWNER, &failed.id).await.expect("tried again");
            failed = world.end_of(&again.id).await;
        }
    }

    world.mend().await;
    let workflows = world.gateway.services.workflows.clone();
    let last = workflows.retry(&OWNER, &failed.id).await.expect("tried again");
    let done = world.end_of(&last.id).await;
    assert_eq!(done.state, RunState::Succeeded, "{done:#?}");
    let branch = format!("mimir/{}", last.id);
    let heads: Vec<String> = world.bare.heads().into_iter().map(|(name, _)| name).collect();
    assert_eq!(heads, ["main".to_owned(), branch.clone()]);
    assert_eq!(world.bare.head(&branch), done.progress.commit);
    assert_eq!(world.bare.git(&["rev-list", "--count", &format!("main..{branch}")]), "1");
    let pulls = world.forge.change(SHOP, |repo| repo.pulls.clone());
    assert!(matches!(&pulls[..], [pull] if pull.head == branch && pull.is_draft), "{pulls:?}");
    assert_eq!(world.pushes().await, (1, 2));
    // The analysis was paid for once.
    assert_eq!(world.agent.user_messages(), 6);
}
