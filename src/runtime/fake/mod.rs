//! An engine in memory, with faults on demand, for tests.
//!
//! A [`FakeEngine`] is a handle to a world of containers. The world lives as long as any handle, so a test can
//! drop a gateway, make another one on a clone of the handle, and find the containers as they were left.
//! [`FakeEngine::of_instance`] gives a second gateway's view of the same world.

mod engine;
mod faults;
mod shell;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Capabilities, ExecOutput, ExecSpec, ExecStream};
use crate::clock::Clock;
use crate::model::container::{ContainerSpec, FoundContainer, ImageInfo, Mount};
use crate::model::frame::Observed;
use crate::model::ids::{FrameId, InstanceId};
use crate::model::isolation::Isolation;
use crate::model::port::PortPurpose;
use crate::outbound::Connector;

pub use faults::{Failure, Fault, Op};
use world::World;

/// What a started container of the fake does: usually it runs a scripted agent on the link sockets.
/// It is called at every start, inside the tokio runtime, and must not block.
pub type OnStart = Arc<dyn Fn(StartedContainer) + Send + Sync>;

/// Answers a command that is run inside. `None` leaves it to the built-in little shell.
pub type OnExec = Arc<dyn Fn(&FrameId, &ExecSpec) -> Option<ExecOutput> + Send + Sync>;

/// Stands for a command that is run inside with streams. `None` leaves it to the built-in little shell.
pub type OnStream = Arc<dyn Fn(&FrameId, &ExecSpec) -> Option<ExecStream> + Send + Sync>;

/// Leads to what listens inside a frame.
pub type OnConnect = Arc<dyn Fn(&FrameId, PortPurpose) -> Connector + Send + Sync>;

/// Changes what a new container really mounts.
pub type OnMount = Arc<dyn Fn(&mut Mount) + Send + Sync>;

/// Handed to [`OnStart`].
#[derive(Clone, Debug)]
pub struct StartedContainer {
    /// What it was made from.
    pub spec: ContainerSpec,
    /// The folder of sockets.
    pub link: PathBuf,
    /// The folder of what is read at its start.
    pub start: PathBuf,
    /// Cancelled when the container ends, however it ends.
    pub ended: CancellationToken,
}

/// A handle to the in-memory engine, as one gateway instance sees it.
#[derive(Clone)]
pub struct FakeEngine {
    world: Arc<World>,
    instance: InstanceId,
}

impl FakeEngine {
    /// A new world without images or containers. Frames have folders of their own in `frames_folder`.
    #[must_use]
    pub fn new(instance: InstanceId, clock: Clock, frames_folder: &Path) -> Self {
        Self { world: Arc::new(World::new(clock, frames_folder.to_owned())), instance }
    }

    /// Leads to agents in another way than through the sockets in their link folders.
    pub fn on_connect(&self, hook: impl Fn(&FrameId, PortPurpose) -> Connector + Send + Sync + 'static) {
        self.world.lock().on_connect = Some(Arc::new(hook));
    }

    /// The folder of a frame's sockets, as its processes see it.
    #[must_use]
    pub fn link_folder(&self, frame: &FrameId) -> PathBuf {
        self.world.files(frame).link().folder().to_owned()
    }

    /// The folder of what a frame reads at its start.
    #[must_use]
    pub fn start_folder(&self, frame: &FrameId) -> PathBuf {
        self.world.files(frame).start()
    }

    /// Another gateway's view of the same world.
    #[must_use]
    pub fn of_instance(&self, instance: InstanceId) -> Self {
        Self { world: self.world.clone(), instance }
    }

    /// Puts a frame image on the "machine". The id is made from the reference.
    pub fn add_image(&self, reference: &str) -> ImageInfo {
        self.world.add_image(reference)
    }

    /// A later build takes the name from the image that had it.
    pub fn move_name(&self, reference: &str) -> ImageInfo {
        self.world.move_name(reference)
    }

    /// An image without a name, as a later build leaves one behind; labelled as a frame image or not.
    pub fn add_untagged_image(&self, labelled: bool) -> ImageInfo {
        self.world.add_untagged_image(labelled)
    }

    /// The same image with other labels.
    pub fn relabel(&self, image: &ImageInfo, labels: &[(&str, &str)]) -> ImageInfo {
        self.world.relabel(image, labels)
    }

    /// Removes an image by id or name.
    pub fn remove_image(&self, reference: &str) {
        self.world.lock().images.retain(|image| !world::image_matches(image, reference));
    }

    /// The next call of that kind meets the fault. Several queue up in order.
    pub fn next(&self, op: Op, fault: Fault) {
        self.world.lock().faults.entry(op).or_default().push_back(fault);
    }

    /// Every call of that kind meets the fault until [`FakeEngine::heal`].
    pub fn always(&self, op: Op, fault: Fault) {
        self.world.lock().standing.insert(op, fault);
    }

    /// The next call of that kind works, and the caller never hears of it.
    pub fn lose_the_answer_to(&self, op: Op) {
        self.next(op, Fault::After(Failure::TooSlow));
    }

    /// Forgets all faults, planned and standing.
    pub fn heal(&self) {
        let mut state = self.world.lock();
        state.faults.clear();
        state.standing.clear();
        state.on_mount = None;
    }

    /// The engine's service goes away; containers run on. Event streams end.
    pub fn go_down(&self) {
        let mut state = self.world.lock();
        state.down = true;
        state.events = None;
    }

    /// The engine's service is back.
    pub fn come_back(&self) {
        self.world.lock().down = false;
    }

    /// How long a call hangs before it is given up; 300 ms unless set.
    pub fn set_deadline(&self, deadline: Duration) {
        self.world.lock().deadline = deadline;
    }

    /// What the engine can do from now on; everything unless set.
    pub fn set_capabilities(&self, capabilities: Capabilities) {
        self.world.lock().capabilities = capabilities;
    }

    /// What the kernel says of everything that runs, from now on; what was asked for unless set.
    pub fn set_isolation(&self, isolation: Option<Isolation>) {
        self.world.lock().isolation = world::Told::Only(isolation.map(Box::new));
    }

    /// All containers there are were made by an older mimir; those to come are locked up more.
    pub fn grow_old(&self) {
        let mut state = self.world.lock();
        state.hardening += 1;
        state.containers.values_mut().for_each(|container| container.is_old = true);
    }

    /// How often that was called, faults included.
    #[must_use]
    pub fn calls(&self, op: Op) -> usize {
        self.world.lock().calls.get(&op).copied().unwrap_or(0)
    }

    /// Waits until that was called `times` times in all, 5 s at most.
    ///
    /// # Panics
    /// When it was not; the text says how often it was.
    pub async fn reached(&self, op: Op, times: usize) {
        let mut changed = self.world.watch();
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            while self.calls(op) < times {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
        assert!(waited.is_ok(), "{op:?} was called {} times, not {times}", self.calls(op));
    }

    /// Runs at every start of a container.
    pub fn on_start(&self, hook: impl Fn(StartedContainer) + Send + Sync + 'static) {
        self.world.lock().on_start = Some(Arc::new(hook));
    }

    /// Answers commands that are run inside.
    pub fn on_exec(&self, hook: impl Fn(&FrameId, &ExecSpec) -> Option<ExecOutput> + Send + Sync + 'static) {
        self.world.lock().on_exec = Some(Arc::new(hook));
    }

    /// Stands for commands that are run inside with streams, such as a terminal.
    pub fn on_stream(
        &self,
        hook: impl Fn(&FrameId, &ExecSpec) -> Option<ExecStream> + Send + Sync + 'static,
    ) {
        self.world.lock().on_stream = Some(Arc::new(hook));
    }

    /// Mounts something else than what is asked for, until [`FakeEngine::heal`].
    pub fn on_mount(&self, hook: impl Fn(&mut Mount) + Send + Sync + 'static) {
        self.world.lock().on_mount = Some(Arc::new(hook));
    }

    /// How many containers carry that frame's label, of any instance and generation.
    #[must_use]
    pub fn containers_of(&self, frame: &FrameId) -> usize {
        self.world.lock().containers.values().filter(|one| one.spec.frame == *frame).count()
    }

    /// Every container of every instance.
    #[must_use]
    pub fn containers(&self) -> Vec<FoundContainer> {
        self.world.lock().containers.values().map(world::Container::found).collect()
    }

    /// What that frame's container was made from.
    #[must_use]
    pub fn spec_of(&self, frame: &FrameId) -> Option<ContainerSpec> {
        self.world.lock().containers.values().find(|one| one.spec.frame == *frame).map(|one| one.spec.clone())
    }

    /// What that frame's container is now, without counting as a call.
    #[must_use]
    pub fn peek(&self, frame: &FrameId) -> Observed {
        let state = self.world.lock();
        let found = state.containers.values().find(|one| one.spec.frame == *frame);
        found.map_or(Observed::Missing, |one| one.observed)
    }

    /// The first process is killed, as `kill -9` would.
    pub fn kill(&self, frame: &FrameId) {
        self.exit(frame, 137);
    }

    /// The first process ends by itself with that code.
    pub fn exit(&self, frame: &FrameId, code: i64) {
        self.world.end_of(frame, code);
    }

    /// The kernel kills the first process for want of memory.
    pub fn out_of_memory(&self, frame: &FrameId) {
        self.world.alter(frame, |container| container.oom_kills += 1);
        self.exit(frame, 137);
    }

    /// The kernel kills a tool inside for want of memory; the frame goes on.
    pub fn out_of_memory_inside(&self, frame: &FrameId) {
        self.world.alter(frame, |container| container.oom_kills += 1);
    }

    /// The container gets into a state that only removing ends (Podman's `stopping` for ever).
    pub fn get_stuck(&self, frame: &FrameId) {
        self.world.alter(frame, |container| container.stuck = Some("stopping".to_owned()));
    }

    /// Somebody removes the container by hand.
    pub fn remove_behind_our_back(&self, frame: &FrameId) {
        self.world.remove_all_of(frame);
    }

    /// Somebody else's container takes a name.
    pub fn add_foreign_container(&self, name: &str) {
        self.world.lock().foreign.insert(name.to_owned());
    }

    /// Whether somebody else's container of that name is still there.
    #[must_use]
    pub fn has_foreign_container(&self, name: &str) -> bool {
        self.world.lock().foreign.contains(name)
    }

    /// A container of ours as a dead gateway may have left it: straight into the world.
    pub fn plant(&self, spec: ContainerSpec, observed: Observed) {
        self.world.plant(spec, observed);
    }

    /// The machine is switched off and on: nothing runs, nothing is lost.
    pub fn reboot(&self) {
        self.world.reboot();
    }

    /// The container prints a line.
    pub fn print(&self, frame: &FrameId, text: &str) {
        self.world.print(frame, text);
    }
}
