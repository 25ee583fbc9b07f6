//! Schedules, as the configuration writes them. `mimir cron add` makes others.

use std::collections::BTreeMap;

use super::error::ConfigProblem;
use super::keys::{Key, Owner};
use super::kinds::{CatchUpWord, CronText, OverlapWord, ScheduleVerb, ZoneName};
use super::kinds::{Dollars, Frame, Model, Optional, Project, ScheduleWord, Span, Switch, Text, Whole};
use super::section::{List, Reader, Setting, section};
use crate::clock;
use crate::model::schedule::{ConfiguredSchedule, FrameWish, ScheduleAction, ScheduleSpec};

section! {
    struct ScheduleKeys {
        name: ScheduleWord, "The schedule's name";
        cron: CronText, "When: five fields of cron's, six with seconds first, @daily and the like, or every 90m";
        zone: Optional<ZoneName>, "On whose clock, such as Europe/Berlin; this machine's when absent";
        enabled: Optional<Switch>, "off: it is there and does nothing";
        action: ScheduleVerb, "What is done: prompt, workflow, review, start, stop or restart";
        text: Optional<Text>, "Of a prompt: what the agent is asked";
        frame: Optional<Frame>, "Of a prompt: the frame that is asked. Of start, stop and restart: which";
        project: Optional<Project>, "Of a prompt: instead of a frame, a new one of this project. Of a review or workflow: whose";
        model: Optional<Model>, "Of a prompt: the model, instead of the usual one";
        workflow: Optional<Text>, "Of a workflow: its name";
        variables: List<Text>, "Of a workflow: values for its templates, such as depth=3";
        overlap: Optional<OverlapWord>, "While its last run goes on: forbid (leave out), queue (one waits) or replace";
        catch_up: Optional<CatchUpWord>, "Of times that passed while nobody was there: once (one run for all) or none";
        jitter: Optional<Span>, "It is done up to so much later, always the same for the same time";
        gate: Optional<Text>, "A shell line of yours that comes first; when it fails, no token is spent";
        pause_after: Optional<Whole<1, 1000>>, "It is paused after so many failures in a row";
        pause_at: Optional<Dollars>, "It is paused when its runs cost that much within 24 hours";
        budget: Optional<Dollars>, "What one run may cost";
    }
}

/// A schedule whose parts go together.
pub struct ScheduleEntry;

impl Setting for ScheduleEntry {
    type Value = ConfiguredSchedule;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        ScheduleKeys::keys(path, about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<ConfiguredSchedule, ConfigProblem> {
        let keys = ScheduleKeys::read(at)?;
        let missing =
            |key: &str| at.at(key).invalid(&format!("is missing, and the action {} needs it", keys.action));
        let action = match keys.action.as_str() {
            "prompt" => ScheduleAction::Prompt {
                text: keys.text.clone().ok_or_else(|| missing("text"))?,
                frame: keys.frame.clone(),
                project: keys.project.clone(),
                model: keys.model.clone(),
            },
            "workflow" => ScheduleAction::Workflow {
                workflow: keys.workflow.clone().ok_or_else(|| missing("workflow"))?,
                project: keys.project.clone(),
                variables: variables(at, &keys.variables)?,
            },
            "review" => {
                ScheduleAction::Review { project: keys.project.clone().ok_or_else(|| missing("project"))? }
            }
            verb => ScheduleAction::Frame {
                wish: verb.parse::<FrameWish>().map_err(|_| at.at("action").invalid("is no action"))?,
                frame: keys.frame.clone().ok_or_else(|| missing("frame"))?,
            },
        };
        let zone = keys.zone.clone().unwrap_or_else(clock::zone);
        let spec = ScheduleSpec {
            overlap: keys.overlap.unwrap_or_default(),
            catch_up: keys.catch_up.unwrap_or_default(),
            jitter_seconds: keys.jitter.map_or(0, |jitter| jitter.as_secs()),
            gate: keys.gate.clone(),
            pause_after_failures: keys.pause_after,
            pause_at_microusd: keys.pause_at,
            budget_microusd: keys.budget,
            ..ScheduleSpec::new(keys.cron.as_str(), zone.as_str(), action)
        };
        spec.plan().map_err(|error| at.invalid(&format!("cannot be: {error}")))?;
        Ok(ConfiguredSchedule { name: keys.name, spec, is_enabled: keys.enabled.unwrap_or(true) })
    }
}

fn variables(at: &Reader<'_>, given: &[String]) -> Result<BTreeMap<String, String>, ConfigProblem> {
    let pairs = given.iter().map(|pair| match pair.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
        None => Err(at.at("variables").invalid(&format!("holds `{pair}`, which is not NAME=VALUE"))),
    });
    pairs.collect()
}
