//! What mimir needs of an agent, asked through its own client.

use std::sync::Arc;
use std::time::Duration;

use mimir::model::agent::{
    AgentEvent, AgentMessage, AgentMessageId, AgentSessionId, AgentStatus, PartBody, Role,
};
use mimir::model::approval::{AgentRequest, AskBody, RequestForm};
use mimir::opencode::dialect::Dialect;
use mimir::opencode::{Health, OpencodeClient, OpencodeError, PermissionReply, UserPrompt, ids};
use parking_lot::Mutex;
use serde_json::json;

use super::release::Release;

/// For anything that an agent does by itself.
const LIMIT: Duration = Duration::from_secs(40);

pub async fn holds(release: &Release, version: &str) {
    let health = release.meet().await.expect("an agent to work with");
    assert_eq!(health.version, version);
    it_is_known_and_protected(release, &health).await;
    let mut talk = Talk::begin(release.client()).await;
    sessions_are_kept(&talk).await;
    a_prompt_has_our_id_and_is_answered(&mut talk).await;
    a_permission_is_asked_listed_and_granted_once(&mut talk).await;
    a_refusal_with_a_reason_lets_the_turn_go_on(&mut talk).await;
    a_sub_agent_asks_with_a_session_of_its_own(&mut talk).await;
    a_question_is_asked_listed_and_answered(&mut talk).await;
    an_abort_ends_the_turn_and_keeps_the_session(&mut talk).await;
    the_provider_refuses_and_says_why(&mut talk).await;
    // The last, because 1.1.16 stores the prompt that follows and does not run it.
    what_an_aborted_turn_asked_can_be_cleared_away(&mut talk).await;
    talk.client.dispose().await.expect("lets go");
}

/// The whole negotiation, also that for releases which nobody has met yet.
async fn it_is_known_and_protected(release: &Release, health: &Health) {
    let client = release.client();
    client.agree(health, LIMIT).await.expect("protected");
    let stranger = Health { dialect: Dialect { tested: false, ..health.dialect }, ..health.clone() };
    client.agree(&stranger, LIMIT).await.expect("it has everything that is looked for");
    let refused = release.client_with("another").health(LIMIT).await;
    assert!(matches!(refused, Err(OpencodeError::WrongPassword)), "{refused:?}");
}

async fn sessions_are_kept(talk: &Talk) {
    let found = talk.client.find_session(&talk.session).await.expect("an answer").expect("the session");
    assert_eq!((found.title.as_str(), found.parent), ("A title", None));
    let listed = talk.client.list_sessions(10).await.expect("sessions");
    assert!(listed.iter().any(|session| session.id == talk.session), "{listed:?}");
    let nobody = AgentSessionId("ses_1fe9238f3001bptsc84IigtrDf".into());
    assert_eq!(talk.client.find_session(&nobody).await.expect("an answer"), None);
}

async fn a_prompt_has_our_id_and_is_answered(talk: &mut Talk) {
    assert_eq!(talk.client.statuses().await.expect("statuses").get(&talk.session), None, "it is idle");
    let ours = talk.says("hi @@text@@").await;
    talk.is_idle().await;
    let turns = talk.since(&ours).await;
    let (prompt, answer) = (&turns[0], turns.last().expect("an answer"));
    assert_eq!((&prompt.head.id, prompt.head.role), (&ours, Role::User));
    assert_eq!((answer.head.role, answer.head.finish.as_deref()), (Role::Assistant, Some("stop")));
    assert!(answer.head.completed_at.is_some() && answer.head.tokens.total() > 0, "{answer:?}");
    assert!(answer.head.cost_microusd > 0, "{answer:?}");
    assert_eq!(text(answer).trim_end(), "Hello from the scripted model.");
    assert_eq!(talk.streamed(&answer.head.id).trim_end(), "Hello from the scripted model.");

    let found = talk.client.find_message(&talk.session, &ours).await.expect("an answer").expect("ours");
    assert_eq!(found.head.id, ours);
    let nobody = talk.mint();
    assert_eq!(talk.client.find_message(&talk.session, &nobody).await.expect("an answer"), None);
}

async fn a_permission_is_asked_listed_and_granted_once(talk: &mut Talk) {
    let ours = talk.says("@@ask@@").await;
    let ask = talk.asked(RequestForm::Permission).await;
    assert_eq!(ask.session, talk.session);
    let AskBody::Permission { tool, patterns, .. } = &ask.body else { panic!("{ask:?}") };
    assert_eq!((tool.as_str(), patterns.as_slice()), ("bash", ["ls -d .".to_owned()].as_slice()));
    assert!(ask.call.is_some(), "{ask:?}");
    assert_eq!(
        talk.client.permissions().await.expect("a list"),
        std::slice::from_ref(&ask),
        "the list and the event agree"
    );
    let status = talk.client.statuses().await.expect("statuses").remove(&talk.session);
    assert_eq!(status, Some(AgentStatus::Busy), "busy while it waits");

    talk.client.reply_permission(&ask.id, PermissionReply::Once, None).await.expect("granted");
    talk.event("the answer is told", |event| {
        matches!(event, AgentEvent::PermissionReplied { permission, reply, .. } if *permission == ask.id && reply == "once")
    })
    .await;
    let late = talk.client.reply_permission(&ask.id, PermissionReply::Reject, None).await;
    assert!(matches!(late, Err(OpencodeError::NotFound { .. })), "whoever comes late is told so: {late:?}");
    talk.is_idle().await;
    assert!(talk.answer(&ours).await.starts_with("The tool said: ."), "{}", talk.answer(&ours).await);
}

async fn a_refusal_with_a_reason_lets_the_turn_go_on(talk: &mut Talk) {
    let ours = talk.says("@@ask@@").await;
    let ask = talk.asked(RequestForm::Permission).await;
    let why = Some("not on a Friday");
    talk.client.reply_permission(&ask.id, PermissionReply::Reject, why).await.expect("refused");
    talk.is_idle().await;
    assert!(talk.answer(&ours).await.contains("not on a Friday"), "{}", talk.answer(&ours).await);
}

async fn a_sub_agent_asks_with_a_session_of_its_own(talk: &mut Talk) {
    let ours = talk.says("@@task-bash@@").await;
    let ask = talk.asked(RequestForm::Permission).await;
    assert_ne!(ask.session, talk.session, "the child asks");
    let parent = talk.session.clone();
    talk.event("whose child it is", |event| {
        matches!(event, AgentEvent::SessionUpdated { session, parent: Some(of), .. } if *session == ask.session && *of == parent)
    })
    .await;
    talk.client.reply_permission(&ask.id, PermissionReply::Once, None).await.expect("granted");
    talk.is_idle().await;
    assert!(talk.answer(&ours).await.contains("from-sub-agent"), "{}", talk.answer(&ours).await);
}

async fn a_question_is_asked_listed_and_answered(talk: &mut Talk) {
    let ours = talk.says("@@question@@").await;
    let ask = talk.asked(RequestForm::Question).await;
    let AskBody::Question { questions } = &ask.body else { panic!("{ask:?}") };
    assert_eq!(questions[0].text, "Which database?");
    assert_eq!(
        talk.client.questions().await.expect("a list"),
        std::slice::from_ref(&ask),
        "the list and the event agree"
    );
    let answers = [vec!["Postgres".to_owned()]];
    talk.client.reply_question(&ask.id, &answers).await.expect("answered");
    talk.event(
        "the answer is told",
        |event| matches!(event, AgentEvent::QuestionAnswered { question, .. } if *question == ask.id),
    )
    .await;
    let late = talk.client.reply_question(&ask.id, &answers).await;
    assert!(matches!(late, Err(OpencodeError::NotFound { .. })), "{late:?}");
    talk.is_idle().await;
    assert!(talk.answer(&ours).await.contains("Postgres"), "{}", talk.answer(&ours).await);
}

/// Trap 16 of docs/traps.md: the prompt of an aborted turn stays in the list.
async fn what_an_aborted_turn_asked_can_be_cleared_away(talk: &mut Talk) {
    talk.says("@@external@@").await;
    let ask = talk.asked(RequestForm::Permission).await;
    assert!(matches!(&ask.body, AskBody::Permission { tool, .. } if tool == "external_directory"), "{ask:?}");
    talk.client.abort(&talk.session).await.expect("aborted");
    // The message of a turn that waits is not always completed: 1.1.16 leaves it as it was.
    talk.is_told_idle().await;
    for left in talk.client.permissions().await.expect("a list") {
        let _ = talk.client.reply_permission(&left.id, PermissionReply::Reject, None).await;
    }
    assert_eq!(talk.client.permissions().await.expect("a list"), []);
}

async fn an_abort_ends_the_turn_and_keeps_the_session(talk: &mut Talk) {
    let ours = talk.says("@@slow@@").await;
    talk.event("it began to speak", |event| match event {
        AgentEvent::PartDelta { delta, .. } => delta.contains("tick"),
        AgentEvent::Part(part) => {
            matches!(&part.body, PartBody::Text { text, .. } if text.starts_with("tick"))
        }
        _ => false,
    })
    .await;
    talk.client.abort(&talk.session).await.expect("aborted");
    talk.is_idle().await;
    let told = |event: &AgentEvent| matches!(event, AgentEvent::Failed(_, failure) if failure.is_abort());
    talk.event("that it was aborted", told).await;
    let client = talk.client.clone();
    let session = talk.session.clone();
    until("the message says so", async || {
        let turns = client.messages(&session, 20).await.expect("messages");
        turns.iter().any(|turn| turn.head.id > ours && turn.head.error.as_ref().is_some_and(|e| e.is_abort()))
    })
    .await;
    talk.client.abort(&talk.session).await.expect("nothing to abort is no failure");

    let again = talk.says("@@text@@").await;
    talk.is_idle().await;
    assert!(talk.answer(&again).await.starts_with("Hello"), "the session goes on");
}

async fn the_provider_refuses_and_says_why(talk: &mut Talk) {
    talk.says("@@http401@@").await;
    talk.event("a failure with the provider's status and words", |event| {
        matches!(event, AgentEvent::Failed(_, failure)
            if failure.status == Some(401) && failure.message == "Incorrect API key provided")
    })
    .await;
    talk.is_idle().await;
}

/// One session, and everything that the event stream said since the last prompt.
struct Talk {
    client: OpencodeClient,
    session: AgentSessionId,
    heard: Arc<Mutex<Vec<AgentEvent>>>,
    last: Option<AgentMessageId>,
    _ear: tokio::task::JoinSet<()>,
}

impl Talk {
    async fn begin(client: OpencodeClient) -> Self {
        let mut stream = client.events(LIMIT).await.expect("a stream");
        assert_eq!(stream.next().await, Ok(AgentEvent::Connected));
        let heard: Arc<Mutex<Vec<AgentEvent>>> = Arc::default();
        let mut ear = tokio::task::JoinSet::new();
        let notes = heard.clone();
        ear.spawn(async move {
            while let Ok(event) = stream.next().await {
                notes.lock().push(event);
            }
        });
        let made = client.create_session("A title", &json!({"mimir": "x"})).await.expect("a session");
        Self { client, session: made.id, heard, last: None, _ear: ear }
    }

    fn mint(&mut self) -> AgentMessageId {
        let now = mimir::clock::Clock::system().now_ms();
        let entropy = mimir::clock::entropy::<14>();
        self.last = Some(ids::mint(now, self.last.as_ref(), entropy));
        self.last.clone().expect("just made")
    }

    async fn says(&mut self, words: &str) -> AgentMessageId {
        self.heard.lock().clear();
        let message = self.mint();
        let prompt = UserPrompt {
            message: message.clone(),
            text: words.to_owned(),
            model: "scripted/scripted".parse().expect("a model"),
            is_usual_model: false,
            agent: "build".to_owned(),
        };
        self.client.prompt(&self.session, &prompt).await.expect("taken");
        message
    }

    async fn event(&self, what: &str, wanted: impl Fn(&AgentEvent) -> bool) {
        let found = async || self.heard.lock().iter().any(&wanted);
        let waited = tokio::time::timeout(LIMIT, async {
            while !found().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: not in {:#?}", self.heard.lock());
    }

    async fn asked(&self, form: RequestForm) -> AgentRequest {
        self.event("it asks", |event| matches!(event, AgentEvent::Asked(ask) if ask.form() == form)).await;
        let heard = self.heard.lock();
        let mut asks = heard
            .iter()
            .filter_map(|event| if let AgentEvent::Asked(ask) = event { Some(ask) } else { None });
        asks.next_back().expect("it asked").clone()
    }

    async fn is_told_idle(&self) {
        let session = &self.session;
        self.event(
            "idle",
            |event| matches!(event, AgentEvent::Status(of, AgentStatus::Idle) if of == session),
        )
        .await;
    }

    /// Told by an event, true in the list, answered, and every message complete. The event alone may be the last word
    /// of something before the prompt: an abort with nothing to abort says `idle` a moment after it was answered.
    async fn is_idle(&self) {
        self.is_told_idle().await;
        let (session, last) = (&self.session, self.last.as_ref());
        until("idle in the list, and complete", async || {
            let statuses = self.client.statuses().await.expect("statuses");
            let turns = self.client.messages(session, 100).await.expect("messages");
            let is_whole = |turn: &AgentMessage| {
                turn.head.role == Role::User || turn.head.completed_at.is_some() || Some(&turn.head.id) < last
            };
            let is_answer = |turn: &AgentMessage| turn.head.role != Role::User && Some(&turn.head.id) > last;
            !statuses.contains_key(session) && turns.iter().any(is_answer) && turns.iter().all(is_whole)
        })
        .await;
    }

    async fn since(&self, message: &AgentMessageId) -> Vec<AgentMessage> {
        let turns = self.client.messages(&self.session, 100).await.expect("messages");
        turns.into_iter().filter(|turn| turn.head.id >= *message).collect()
    }

    async fn answer(&self, message: &AgentMessageId) -> String {
        self.since(message).await.last().map(text).unwrap_or_default()
    }

    /// What the stream said of a message, whichever way this release streams text.
    fn streamed(&self, message: &AgentMessageId) -> String {
        let mut said = String::new();
        for event in self.heard.lock().iter() {
            match event {
                AgentEvent::PartDelta { message: of, delta, .. } if of == message => said.push_str(delta),
                AgentEvent::Part(part) if part.message == *message => {
                    if let PartBody::Text { text, .. } = &part.body {
                        said.clone_from(text);
                    }
                }
                _ => {}
            }
        }
        said
    }
}

fn text(turn: &AgentMessage) -> String {
    let texts = turn.parts.iter().filter_map(|part| match &part.body {
        PartBody::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(LIMIT, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {LIMIT:?}: {what}");
}
