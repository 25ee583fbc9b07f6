//! Doctor without a gateway: everything that can be tried is tried, and why no gateway starts is said first.

use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};

use super::{bootstrap, settings};
use crate::clock::{self, Clock};
use crate::config::LoadOptions;
use crate::doctor::{self, Subject};
use crate::model::doctor::Check;
use crate::model::ids::InstanceId;
use crate::runtime::build;
use crate::runtime::podman::Podman;
use crate::wire::problem::Problem;

/// Examines this home without its gateway. `trouble` is why that does not run, if it was tried.
pub fn examine(load: &LoadOptions, trouble: Option<Problem>) -> impl Stream<Item = Check> + Send + use<> {
    let clock = Clock::system();
    let instance = InstanceId::from_parts(clock.now_ms(), clock::entropy_128());
    match bootstrap::load_config(load) {
        Err(problem) => stream::iter([cannot_start(problem)]).boxed(),
        Ok(config) => {
            let paths = &load.paths;
            // Without these there is nothing to look at; doctor's own checks say what is wrong with them.
            let prepared = paths.ensure_home().and_then(|()| paths.ensure_runtime());
            let prepared = prepared.err().map(super::problem::config_problem);
            let engine = bootstrap::engine_settings(paths, &config);
            let subject = Subject {
                home: paths.home().to_owned(),
                runtime_folder: paths.runtime().to_owned(),
                runtime: Arc::new(Podman::new(instance.clone(), engine, paths.frames())),
                instance,
                store: None,
                trouble: trouble.or(prepared).map(cannot_start),
                image: config.frames.image.clone(),
                image_inputs: build::inputs_hash(),
                opencode: crate::opencode::VERSION,
                ports: config.frames.ports,
                network: config.frames.network,
                allow: config.frames.allow.clone(),
                broker: None,
                frames: None,
                providers: settings::presence(&config),
                sources: settings::senders(&config),
                rules: settings::rules(&config),
                workflows: settings::workflow_names(paths.home()),
                clock,
            };
            doctor::examine(Arc::new(subject)).boxed()
        }
    }
}

fn cannot_start(problem: Problem) -> Check {
    let found = match problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title,
    };
    doctor::cannot_start(found, problem.hint)
}
