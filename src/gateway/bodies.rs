//! What a request's body says, as services take it: names, places and limits are parsed here and nowhere behind.
//!
//! Nothing in a body claims an origin: whoever reaches the gateway counts as a person.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::extract::frame_name;
use super::problem::{Answer, Reply};
use crate::config::frame_file::FrameFile;
use crate::delivery::SendRequest;
use crate::frames::{FRAME_FILE, FrameError, FrameRequest, Lifetime, Place, WantedLimits};
use crate::model::agent::ModelRef;
use crate::model::git::Repository;
use crate::model::message::{IdempotencyKey, MessageText, SendMode, SessionSelector};
use crate::model::names::{FrameName, ProjectName};
use crate::model::origin::Origin;
use crate::model::quantity::{cpus, memory, pids, span};
use crate::store::queue::Edit;
use crate::wire::frames::CreateFrame;
use crate::wire::messages::{EditMessage, SendMessage};

/// A frame to be made. What the body leaves open, its frame file may say.
///
/// # Errors
/// [`FrameError::InvalidName`], [`FrameError::Invalid`].
pub fn frame(body: CreateFrame) -> Result<FrameRequest, FrameError> {
    let has_file = body.config_yaml.is_some();
    let given = body.config_yaml.unwrap_or_default();
    let file = match given.trim() {
        "" => FrameFile::default(),
        _ => FrameFile::parse(&given, Path::new("the frame file"))
            .map_err(|error| invalid(FRAME_FILE, error.to_string()))?,
    };
    // Without a file, the body alone is to blame.
    let by_file = |field| if has_file { FRAME_FILE } else { field };
    let cores = body.cpus.map(cpus::check).transpose().map_err(|why| invalid("cpus", why))?;
    let memory = body.memory_bytes.map(memory::check).transpose().map_err(|why| invalid("memory", why))?;
    let pids = body.pids.map(pids::check).transpose().map_err(|why| invalid("pids", why))?;
    let lifetime = match (body.throwaway || file.throwaway.unwrap_or(false), body.ttl_seconds) {
        (true, Some(seconds)) => {
            span::check_lifetime(seconds).map_err(|why| invalid("ttl", why))?;
            Lifetime::Throwaway(Some(Duration::from_secs(seconds)))
        }
        (true, None) => Lifetime::Throwaway(file.ttl),
        (false, Some(_)) => return Err(invalid(by_file("ttl"), "only a throwaway frame has a ttl")),
        (false, None) => Lifetime::Stays,
    };
    let repository = match body.repo {
        Some(text) => {
            Some(Repository::parse(&text).map_err(|error| FrameError::Repository(error.to_string()))?)
        }
        None => file.repo,
    };
    // A place that is named in the body beats either way of naming one in the file.
    let (workspace, project) = match (body.workspace, body.project) {
        (None, None) => (file.workspace, file.project),
        (workspace, project) => {
            (workspace.map(PathBuf::from), project.as_deref().map(ProjectName::parse).transpose()?)
        }
    };
    let place = match (workspace, project) {
        (Some(folder), None) => Place::Folder(folder),
        (None, Some(project)) => Place::Project(project),
        (None, None) => return Err(invalid(by_file("workspace"), "name a workspace or a project")),
        (Some(_), Some(_)) => return Err(invalid("workspace", "name a project or a workspace, not both")),
    };
    Ok(FrameRequest {
        name: FrameName::parse(&body.name)?,
        place,
        image: body.image.or(file.image),
        network: body.network.or(file.network),
        allow: file.allow.into_iter().chain(body.allow).collect(),
        providers: file.providers.into_iter().chain(body.providers).collect(),
        gpu: body.gpu,
        limits: WantedLimits {
            cpus_milli: cores.or(file.cpus_milli),
            memory_bytes: memory.or(file.memory_bytes),
            pids: pids.or(file.pids),
        },
        git: body.git.or(file.git),
        repository,
        env: file.env.into_iter().chain(body.env).collect(),
        lifetime,
        defaults: None,
        start: body.start || file.start.unwrap_or(false),
        rules: file.rules.into_iter().chain(body.rules).collect(),
        given,
        origin: Origin::Person,
        run: None,
    })
}

/// A message to be sent; `usual` is how long an unattended one waits for an answer.
///
/// # Errors
/// With what is wrong.
pub fn message(body: SendMessage, key: Option<IdempotencyKey>, usual: Duration) -> Answer<SendRequest> {
    let mode = match (body.interrupt, body.now) {
        (true, true) => {
            return Err(Reply::bad_request("request.invalid", "`interrupt` and `now` exclude each other")
                .hint("`interrupt` never waits for the conversation"));
        }
        (true, false) => SendMode::Interrupt,
        (false, true) => SendMode::Now,
        (false, false) => SendMode::Queue,
    };
    Ok(SendRequest {
        model: model(body.model.as_deref())?,
        text: MessageText::parse(body.text)?,
        frame: frame_name(&body.frame)?,
        session: body.session.as_deref().map(SessionSelector::parse).unwrap_or_default(),
        mode,
        agent: body.agent,
        unattended: body.unattended.map(|it| it.within(usual)),
        key,
        origin: Origin::Person,
        run: None,
    })
}

/// What is to be changed of a message that waits.
///
/// # Errors
/// With what is wrong.
pub fn edit(body: EditMessage) -> Answer<Edit> {
    Ok(Edit {
        model: model(body.model.as_deref())?,
        text: body.text.map(MessageText::parse).transpose()?,
        agent: body.agent,
    })
}

/// The words of a message.
///
/// # Errors
/// When they are none, or too many.
pub fn message_text(text: String) -> Answer<MessageText> {
    Ok(MessageText::parse(text)?)
}

fn model(text: Option<&str>) -> Answer<Option<ModelRef>> {
    let model = text.map(str::parse::<ModelRef>).transpose();
    model.map_err(|error| Reply::bad_request("message.model", error.to_string()))
}

fn invalid(field: &'static str, why: impl Into<String>) -> FrameError {
    FrameError::Invalid { field, why: why.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::network::NetworkMode;

    fn body() -> CreateFrame {
        CreateFrame { name: "blog".into(), workspace: Some("/w".into()), ..CreateFrame::default() }
    }

    #[test]
    fn a_frame_file_fills_in_what_the_body_leaves_open() {
        let text = "image: a:1\nnetwork: open\nenv: {A: file, B: file}\nlimits: {memory: 1g}\nstart: true\n";
        let request = frame(CreateFrame {
            network: Some(NetworkMode::Sealed),
            env: BTreeMap::from([("B".into(), "request".into())]),
            config_yaml: Some(text.into()),
            ..body()
        });
        let merged = request.expect("reads");
        assert_eq!(merged.image.as_deref(), Some("a:1"));
        assert_eq!(merged.network, Some(NetworkMode::Sealed));
        assert_eq!(merged.limits.memory_bytes, Some(1 << 30));
        assert_eq!(merged.env["A"], "file");
        assert_eq!(merged.env["B"], "request");
        assert!(merged.start);
        assert_eq!(merged.given, text, "kept word for word");

        let wrong = CreateFrame { config_yaml: Some("imge: x".into()), ..body() };
        assert!(frame(wrong).expect_err("refused").to_string().contains("imge"));
    }

    #[test]
    fn a_place_in_the_body_beats_the_one_in_the_file() {
        let config_yaml = Some("project: blog\n".to_owned());
        let from = |workspace: Option<&str>| {
            let workspace = workspace.map(str::to_owned);
            frame(CreateFrame { workspace, config_yaml: config_yaml.clone(), ..body() }).expect("reads").place
        };
        assert_eq!(from(Some("/w")), Place::Folder("/w".into()));
        assert_eq!(from(None), Place::Project(ProjectName::parse("blog").expect("a name")));
    }

    #[test]
    fn cores_that_cannot_be_are_refused_by_name() {
        let cpus = |cpus| frame(CreateFrame { cpus: Some(cpus), ..body() });
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(cpus(wrong).expect_err("refused").to_string().contains("cpus"));
        }
        assert_eq!(cpus(0.5).expect("fine").limits.cpus_milli, Some(500));
    }

    #[test]
    fn only_a_throwaway_frame_has_an_end() {
        let lifetime = |throwaway, ttl_seconds| {
            frame(CreateFrame { throwaway, ttl_seconds, ..body() }).map(|request| request.lifetime)
        };
        assert_eq!(lifetime(true, Some(5)).ok(), Some(Lifetime::Throwaway(Some(Duration::from_secs(5)))));
        assert_eq!(lifetime(false, None).ok(), Some(Lifetime::Stays));
        assert!(lifetime(false, Some(5)).is_err());
    }

    #[test]
    fn nobody_claims_to_be_no_person() {
        assert_eq!(
            (frame(body()).expect("fine").origin, frame(body()).expect("fine").run),
            (Origin::Person, None)
        );
        let claims = r#"{"name": "blog", "workspace": "/w", "origin": "schedule"}"#;
        assert!(serde_json::from_str::<CreateFrame>(claims).is_err(), "there is no such field");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_the_reason() {
        let to = |frame: &str, text: &str| SendMessage {
            frame: frame.into(),
            text: text.into(),
            ..SendMessage::default()
        };
        let send = |body: SendMessage| message(body, None, Duration::ZERO);
        let refused = |body: SendMessage| {
            let Reply(problem) = send(body).expect_err("refused");
            (problem.status, problem.code)
        };
        let most = "x".repeat(MessageText::MOST_BYTES);
        assert_eq!(refused(to("blog", " \n")), (400, "send.empty".into()));
        assert_eq!(refused(to("blog", &format!("{most}x"))), (413, "send.too_long".into()));
        assert_eq!(refused(to("../etc", "hi")), (404, "frame.not_found".into()));
        let both = SendMessage { interrupt: true, now: true, ..to("blog", "hi") };
        assert_eq!(refused(both), (400, "request.invalid".into()));
        let odd = SendMessage { model: Some("gpt".into()), ..to("blog", "hi") };
        assert_eq!(refused(odd), (400, "message.model".into()));

        let sent = send(to("blog", &most)).expect("fine");
        assert_eq!(
            (sent.session, sent.mode, sent.origin),
            (SessionSelector::Last, SendMode::Queue, Origin::Person)
        );
        let empty = EditMessage { text: Some(" ".into()), ..EditMessage::default() };
        assert_eq!(edit(empty).map(drop).expect_err("refused").0.code, "send.empty");
        let claims = r#"{"frame": "blog", "text": "hi", "origin": "schedule"}"#;
        assert!(serde_json::from_str::<SendMessage>(claims).is_err(), "there is no such field");
    }
}
