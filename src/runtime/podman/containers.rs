//! What is done to containers. Everything here may be called again after an interruption.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::exec::CreateExecOptions;
use bollard::query_parameters::{StartContainerOptions, StopContainerOptions};
use hyper::Method;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::blocks::ALL_TAKEN;
use super::idmap::NotShown;
use super::isolation::{self, Agreed};
use super::shown::{InPlace, ShowPlaces, ThisStart};
use super::streams::Control;
use super::translate::{
    Created, Inspected, Listed, Plan, block_of_another, create_body, found, has_own_kernel, observation,
};
use super::trouble::Trouble;
use super::users::Users;
use super::{Connection, usage, watches};
use crate::model::container::{
    FoundContainer, LABEL_INSTANCE, LABEL_USERS, Mount, Observation, Stats, container_name, inside,
    mount_difference,
};
use crate::model::frame::Observed;
use crate::model::ids::{FrameId, InstanceId};
use crate::model::isolation::Isolation;
use crate::runtime::{ExecSpec, folder_identity};

/// A container of ours that is there.
pub(super) struct Ours {
    pub(super) id: String,
    pub(super) observation: Observation,
    generation: u32,
    stuck: bool,
    pid: Option<u32>,
    missing_folder: Option<String>,
    users: Option<Users>,
    why_machines_users: Option<String>,
    /// What the engine says of it that is not as it was told.
    unlike_asked: Vec<String>,
    runtime: String,
}

impl Ours {
    fn read(body: Inspected, hardening: &str) -> Self {
        let missing_folder = body.folders().into_iter().find(|folder| !Path::new(folder).exists());
        let mut ours = Self {
            observation: observation(&body, hardening, is_alive),
            generation: 0,
            stuck: false,
            pid: None,
            missing_folder,
            users: body.users(),
            why_machines_users: body.why_machines_users(),
            unlike_asked: body.unlike_asked(),
            runtime: body.runtime.clone(),
            id: body.id,
        };
        if let Some(details) = &mut ours.observation.details {
            let counted = details.pid.and_then(|pid| usage::oom_kills(pid, &ours.id));
            details.oom_kills = counted.or(details.oom_kills);
            (ours.generation, ours.pid) = (details.generation, details.pid);
            // Through the process: a folder that was moved or made anew is another one in there than at its path.
            let in_there = |pid| format!("/proc/{pid}/root{}", inside::WORKSPACE);
            details.workspace = ours.pid.and_then(|pid| folder_identity(Path::new(&in_there(pid))));
            ours.stuck = details.stuck.is_some();
        }
        ours
    }

    /// What the kernel says of it, held against what the engine says.
    pub(super) fn isolation(&self, frames: &Path) -> Option<Isolation> {
        let (pid, details) = (self.pid?, self.observation.details.as_ref()?);
        let (users, mounts) = (self.users.clone(), details.mounts.clone());
        let agreed = Agreed { users, mounts, frames: PathBuf::from(frames) };
        let [memory_bytes, pids, cpus_milli] = usage::limits(pid, &self.id);
        let mut found = if has_own_kernel(&self.runtime) {
            Isolation { own_kernel: Some(self.runtime.clone()), ..Isolation::default() }
        } else {
            isolation::look(pid, &agreed)?
        };
        if !found.own_users && found.own_kernel.is_none() {
            let unknown = || "its container was made before it was noted why".to_owned();
            found.machines_users = Some(self.why_machines_users.clone().unwrap_or_else(unknown));
        }
        found.differs.extend(self.unlike_asked.iter().cloned());
        Some(Isolation { memory_bytes, pids, cpus_milli, ..found })
    }

    fn has_mounts(&self, wanted: &[Mount]) -> bool {
        let details = self.observation.details.as_ref();
        details.is_some_and(|details| mount_difference(wanted, &details.mounts).is_none())
    }

    fn is(&self, observed: Observed) -> bool {
        !self.stuck && self.observation.observed == observed
    }
}

fn is_alive(pid: u32) -> bool {
    pid > 0 && Path::new(&format!("/proc/{pid}")).exists()
}

fn wrong_state(why: &str) -> Trouble {
    Trouble::WrongState(why.to_owned())
}

impl Connection {
    async fn inspect(&self, name: &str) -> Result<Option<Inspected>, Trouble> {
        match self.libpod.get(&format!("/containers/{name}/json")).await {
            Ok(body) => Ok(Some(body)),
            Err(Trouble::NoContainer(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The frame's container, if there is one and it is our instance's.
    pub(super) async fn find(&self, instance: &InstanceId, frame: &FrameId) -> Result<Option<Ours>, Trouble> {
        let body = self.inspect(&container_name(frame)).await?;
        let ours = body.filter(|body| body.label(LABEL_INSTANCE) == Some(instance.as_str()));
        Ok(ours.map(|body| Ours::read(body, &self.hardening)))
    }

    /// The frame's container, which must be there.
    pub(super) async fn get(&self, instance: &InstanceId, frame: &FrameId) -> Result<Ours, Trouble> {
        let found = self.find(instance, frame).await?;
        found.ok_or_else(|| Trouble::NoContainer(container_name(frame)))
    }

    pub(super) async fn list(&self, filters: &str) -> Result<Vec<FoundContainer>, Trouble> {
        Ok(self.listed(filters).await?.into_iter().filter_map(found).collect())
    }

    async fn listed(&self, filters: &str) -> Result<Vec<Listed>, Trouble> {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("filters", filters).finish();
        self.libpod.get(&format!("/containers/json?all=true&{query}")).await
    }

    /// The blocks of numbers that containers of other frames have, also those of other homes.
    pub(super) async fn blocks_of_others(&self, frame: &FrameId) -> Result<BTreeSet<u32>, Trouble> {
        let filters = serde_json::json!({"label": [LABEL_USERS]}).to_string();
        let listed = self.listed(&filters).await?;
        Ok(listed.iter().filter_map(|one| block_of_another(one, frame)).collect())
    }

    pub(super) async fn ensure_created(&self, plan: &Plan<'_>) -> Result<(), Trouble> {
        let spec = plan.spec;
        if let Some(there) = self.find(&spec.instance, &spec.frame).await? {
            if there.generation > spec.generation {
                return Err(wrong_state("there is a newer one"));
            }
            if there.generation == spec.generation && !there.stuck && there.has_mounts(plan.mounts) {
                return Ok(());
            }
            self.remove(&there.id).await?;
        }
        let taken = match self.create(plan).await {
            Err(Trouble::NameTaken(text)) => text,
            done => return done,
        };
        match self.settled(&container_name(&spec.frame)).await? {
            // Another call of ours was faster.
            Some(body) if body.label(LABEL_INSTANCE) == Some(spec.instance.as_str()) => {
                self.check_mounts(&body.id, plan).await
            }
            Some(_) => Err(Trouble::NameTaken(taken)),
            // A service that was killed in the middle of a create leaves a name in its storage that belongs to no
            // container. It holds our frame's id, so nobody else can have made it.
            None => {
                self.remove(&container_name(&spec.frame)).await?;
                self.create(plan).await
            }
        }
    }

    /// What has that name, once a create that may be going on has got far enough to show it.
    async fn settled(&self, name: &str) -> Result<Option<Inspected>, Trouble> {
        let mut looks = 0;
        loop {
            let seen = self.inspect(name).await?;
            looks += 1;
            if seen.is_some() || looks >= 30 {
                return Ok(seen);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn create(&self, plan: &Plan<'_>) -> Result<(), Trouble> {
        let created: Created =
            self.libpod.post("/containers/create", create_body(plan, self.abilities)).await?;
        for warning in created.warnings.iter().flatten().filter(|text| !text.is_empty()) {
            tracing::debug!(frame.id = %plan.spec.frame, "the engine warns: {warning}");
        }
        self.check_mounts(&created.id, plan).await
    }

    /// Believes only what the engine says it mounted. A container that would show another folder of this machine
    /// than was asked for never runs. Who dies before this is called leaves a container whose observation shows
    /// the difference, and which the next create replaces.
    async fn check_mounts(&self, id: &str, plan: &Plan<'_>) -> Result<(), Trouble> {
        let Some(body) = self.inspect(id).await? else { return Err(Trouble::NoContainer(id.to_owned())) };
        match mount_difference(plan.mounts, &body.mounts()) {
            None => Ok(()),
            Some(difference) => {
                self.remove(&body.id).await?;
                Err(Trouble::MountsDiffer(difference))
            }
        }
    }

    /// `places` is where folders are shown with their owners translated, while it starts; `owner` is whose they are.
    pub(super) async fn ensure_started(
        &self,
        frame: &FrameId,
        there: &Ours,
        places: &ShowPlaces,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Trouble> {
        if there.is(Observed::Running) {
            return Ok(());
        }
        if !there.is(Observed::Halted) {
            return Err(wrong_state("it is paused or stuck"));
        }
        // Without root the runtime's words for this say nothing, and a start that fails in it leaves things behind.
        if let Some(folder) = &there.missing_folder {
            return Err(Trouble::FolderMissing(folder.clone()));
        }
        let (_turn, start) = places.begin(frame).await;
        let _in_place = self.show_folders(start, there, places, owner).await?;
        let started = self.docker.start_container(&there.id, None::<StartContainerOptions>).await;
        match started.map_err(Trouble::of_client) {
            // What a hard power-off leaves in the runtime below keeps this container from ever starting again.
            Err(Trouble::LeftBehind(text)) => {
                self.remove(&there.id).await?;
                Err(Trouble::NoContainer(text))
            }
            Ok(()) => {
                self.limit_watches(&there.id).await;
                Ok(())
            }
            failed => failed,
        }
    }

    /// Shows it its folders, if it has users of its own. A container that has other users than it could have by now, or
    /// that can be shown its folders no more, is made anew: whoever makes it finds the same and notes why.
    async fn show_folders(
        &self,
        start: ThisStart,
        there: &Ours,
        places: &ShowPlaces,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<InPlace>, Trouble> {
        let why = match &there.users {
            Some(users) if !users.is_below(places.root()) => {
                "its folders would be shown at another place".to_owned()
            }
            Some(users) => {
                let users = users.clone();
                let shown = tokio::task::spawn_blocking(move || users.show(start)).await;
                match shown.unwrap_or_else(|error| Err(std::io::Error::other(error).into())) {
                    Ok(shown) => return Ok(Some(shown)),
                    Err(NotShown::Cannot(why)) => why,
                    Err(NotShown::Failed(error)) => {
                        return Err(Trouble::Other(format!("its folders cannot be shown to it: {error}")));
                    }
                }
            }
            None if self.could_have_own_users(there, places, owner).await => {
                "it can have users of its own by now".to_owned()
            }
            None => return Ok(None),
        };
        tracing::info!("container {} is made anew: {why}", there.id);
        self.remove(&there.id).await?;
        Err(Trouble::NoContainer(why))
    }

    async fn could_have_own_users(
        &self,
        there: &Ours,
        places: &ShowPlaces,
        owner: Option<(u32, u32)>,
    ) -> bool {
        let (Some(details), Some(owner)) = (&there.observation.details, owner) else { return false };
        // Whether numbers are free again is not looked at here: it is when the container is made for another reason.
        let were_taken = there.why_machines_users.as_deref() == Some(ALL_TAKEN);
        if !self.abilities.own_users || has_own_kernel(&there.runtime) || were_taken {
            return false;
        }
        let users = Users::untold(owner, &details.mounts, places.root());
        let frames = places.frames().to_owned();
        let tried = tokio::task::spawn_blocking(move || users.try_out(&frames)).await;
        tried.is_ok_and(|tried| tried.is_ok())
    }

    /// For the good of everybody else: a frame works without it as well.
    async fn limit_watches(&self, id: &str) {
        let pid = match self.inspect(id).await {
            Ok(Some(body)) => body.state.pid,
            _ => 0,
        };
        if is_alive(pid)
            && let Err(error) = watches::limit(pid).await
        {
            tracing::warn!(%error, "container {id} may watch as many files as this machine lets anybody: {error}");
        }
    }

    pub(super) async fn ensure_stopped(
        &self,
        instance: &InstanceId,
        frame: &FrameId,
        grace: Duration,
    ) -> Result<(), Trouble> {
        let Some(there) = self.find(instance, frame).await? else { return Ok(()) };
        if there.is(Observed::Halted) {
            return Ok(());
        }
        if !there.stuck {
            if there.is(Observed::Paused) {
                // A paused one refuses to be stopped.
                self.act(&there.id, "unpause").await?;
            }
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptions { t: Some(seconds), ..Default::default() };
            let stopped =
                self.docker.stop_container(&there.id, Some(options)).await.map_err(Trouble::of_client);
            if let Err(trouble @ (Trouble::Unreachable(_) | Trouble::TooSlow)) = stopped {
                return Err(trouble);
            }
        }
        // "Done" is no proof: when the monitor was killed, the answer is the same and the container is stuck.
        match self.find(instance, frame).await? {
            None => Ok(()),
            Some(after) if after.is(Observed::Halted) => Ok(()),
            Some(after) => self.remove(&after.id).await,
        }
    }

    pub(super) async fn freeze(
        &self,
        instance: &InstanceId,
        frame: &FrameId,
        wanted: Observed,
    ) -> Result<(), Trouble> {
        if !self.info.capabilities.pause {
            return Err(Trouble::Unsupported(
                "rootless frames cannot be paused with these control groups".into(),
            ));
        }
        let there = self.get(instance, frame).await?;
        if there.is(wanted) {
            return Ok(());
        }
        let word = if wanted == Observed::Paused { "pause" } else { "unpause" };
        if there.is(Observed::Running) || there.is(Observed::Paused) {
            self.act(&there.id, word).await
        } else {
            Err(wrong_state("nothing runs in it"))
        }
    }

    async fn act(&self, id: &str, word: &str) -> Result<(), Trouble> {
        self.libpod.call(Method::POST, &format!("/containers/{id}/{word}")).await
    }

    /// Removes it in whatever state it is.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Trouble> {
        let path = format!("/containers/{id}?force=true&v=true&timeout=1");
        match self.libpod.call(Method::DELETE, &path).await {
            Err(Trouble::NoContainer(_)) => Ok(()),
            // Another call of ours may be at it; what counts is that it goes.
            Err(trouble @ (Trouble::WrongState(_) | Trouble::Other(_))) => match self.inspect(id).await? {
                None => Ok(()),
                Some(_) => Err(trouble),
            },
            done => done,
        }
    }

    pub(super) async fn remove_stray(&self, instance: &InstanceId, id: &str) -> Result<(), Trouble> {
        match self.inspect(id).await? {
            None => Ok(()),
            Some(body) if body.label(LABEL_INSTANCE) == Some(instance.as_str()) => {
                self.remove(&body.id).await
            }
            Some(body) => Err(Trouble::NameTaken(body.id)),
        }
    }

    pub(super) async fn start_exec(
        &self,
        there: &Ours,
        command: &ExecSpec,
    ) -> Result<(TokioIo<Upgraded>, Control), Trouble> {
        if !there.is(Observed::Running) {
            return Err(wrong_state("nothing runs in it"));
        }
        let options = CreateExecOptions {
            cmd: Some(command.argv.clone()),
            env: Some(command.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            working_dir: command.cwd.clone(),
            tty: Some(command.tty.is_some()),
            attach_stdin: Some(command.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let exec = self.docker.create_exec(&there.id, options).await.map_err(Trouble::of_client)?.id;
        let connection = self.libpod.start_exec(&exec, command.tty).await?;
        let control = Control { docker: self.docker.clone(), exec, socket: self.socket.clone() };
        Ok((connection, control))
    }

    pub(super) async fn stats(&self, there: &Ours) -> Result<Stats, Trouble> {
        let Some(pid) = there.pid.filter(|_| there.is(Observed::Running) || there.is(Observed::Paused))
        else {
            return Err(wrong_state("nothing runs in it"));
        };
        usage::measure(pid, &there.id).await.ok_or_else(|| wrong_state("it has just ended"))
    }
}
