//! Connections to hosts that are on no list: people are asked, and the connection waits for what they say.
//!
//! A frame makes up as many hosts as it likes, so everything here has a bound: one question for each host, a few at a
//! time, so many in a while, and what was said is remembered. Whoever is over a bound is refused at once, as without
//! questions.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::dial::can_be_listed;
use super::serve::Served;
use crate::approvals::{Approvals, Said, Wanted};
use crate::model::allow::AllowList;
use crate::model::visible::line;

/// So many questions about one frame are open at the same time.
const OPEN: usize = 3;

/// So many are asked within [`REMEMBERED`].
const OFTEN: usize = 20;

/// So many connections of one frame wait; the frame has others to do.
const HELD: usize = 32;

/// For so long a host is not asked about again.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The connections that waited may pass.
    Allowed,
    /// They may not, and why.
    Refused(String),
    /// The frame's rules changed meanwhile: look at them again.
    Look,
}

type Target = (String, u16);

/// The questions about one frame.
pub(super) struct Questions {
    state: Mutex<State>,
    held: Semaphore,
    /// Counts changes of the frame's rules: somebody may answer by them.
    rules: watch::Sender<u64>,
}

impl Default for Questions {
    fn default() -> Self {
        Self { state: Mutex::default(), held: Semaphore::new(HELD), rules: watch::Sender::new(0) }
    }
}

#[derive(Default)]
struct State {
    open: HashMap<Target, watch::Receiver<Option<Answer>>>,
    /// Until when a host is refused unasked, and why.
    over: HashMap<Target, (Instant, String)>,
    asked: VecDeque<Instant>,
}

/// What a connection does.
enum Begun {
    /// It asks, and waits.
    Asks(watch::Sender<Option<Answer>>, watch::Receiver<Option<Answer>>),
    /// Somebody asks already.
    Joins(watch::Receiver<Option<Answer>>),
    /// It is refused.
    Refused(String),
}

impl State {
    fn begin(&mut self, target: &Target, now: Instant) -> Begun {
        self.over.retain(|_, (until, _)| *until > now);
        self.open.retain(|_, answer| answer.has_changed().is_ok());
        while self.asked.front().is_some_and(|at| now.duration_since(*at) >= REMEMBERED) {
            self.asked.pop_front();
        }
        if let Some((_, why)) = self.over.get(target) {
            return Begun::Refused(why.clone());
        }
        if let Some(answer) = self.open.get(target) {
            return Begun::Joins(answer.clone());
        }
        if self.open.len() >= OPEN {
            return Begun::Refused(format!("{OPEN} other hosts of it are being asked about"));
        }
        if self.asked.len() >= OFTEN {
            let minutes = REMEMBERED.as_secs() / 60;
            return Begun::Refused(format!("{OFTEN} hosts of it were asked about within {minutes} minutes"));
        }
        let (tell, answer) = watch::channel(None);
        self.asked.push_back(now);
        self.open.insert(target.clone(), answer.clone());
        Begun::Asks(tell, answer)
    }

    fn end(&mut self, target: &Target, answer: &Answer, now: Instant) {
        self.open.remove(target);
        if let Answer::Refused(why) = answer {
            self.over.insert(target.clone(), (now + REMEMBERED, why.clone()));
        }
    }
}

impl Questions {
    /// Hears of changes of the frame's rules from now on.
    pub(super) fn watch_rules(&self) -> watch::Receiver<u64> {
        self.rules.subscribe()
    }

    /// The rules of the frame are other ones: what waits is looked at again, and what was refused may be asked again.
    pub(super) fn rules_changed(&self) {
        self.state.lock().over.clear();
        self.rules.send_modify(|count| *count += 1);
    }
}

/// Asks people whether a frame may reach a host, and waits for the answer, or until its `rules` change. None when nobody is
/// to be asked.
pub(super) async fn ask(
    served: &Arc<Served>,
    (host, port): (&str, u16),
    program: Option<String>,
    rules: &mut watch::Receiver<u64>,
) -> Option<Answer> {
    let within = served.shared.limits.now().ask_wait;
    let approvals = served.shared.approvals.get().and_then(|approvals| approvals.upgrade())?;
    let listed = entry(host, port)?;
    let list = served.shared.groups.resolve([listed.as_str()]).ok()?;
    if within.is_zero() || !can_be_asked(&list, host, port) {
        return None;
    }
    let Ok(_held) = served.questions.held.try_acquire() else {
        return Some(Answer::Refused(format!("{HELD} connections of it wait for an answer")));
    };
    let target = (host.trim_end_matches('.').to_ascii_lowercase(), port);
    let begun = served.questions.state.lock().begin(&target, Instant::now());
    let mut answer = match begun {
        Begun::Refused(why) => return Some(Answer::Refused(why)),
        Begun::Joins(answer) => answer,
        Begun::Asks(tell, answer) => {
            let wanted = Wanted { host: target.0.clone(), port, listed, program };
            put(served.clone(), approvals, wanted, within, tell);
            answer
        }
    };
    let said = async { answer.wait_for(Option::is_some).await.ok().and_then(|said| said.clone()) };
    tokio::select! {
        said = said => said.or_else(|| Some(Answer::Refused("nobody could be asked".to_owned()))),
        Ok(()) = rules.changed() => Some(Answer::Look),
    }
}

/// Asks, whoever waits for the answer: who asked first may be gone before it comes.
fn put(
    served: Arc<Served>,
    approvals: Approvals,
    wanted: Wanted,
    within: Duration,
    tell: watch::Sender<Option<Answer>>,
) {
    let tasks = served.shared.tasks.clone();
    tasks.spawn_once(format!("ask about {}", wanted.host), move |stop| async move {
        let (frame, target) = (served.client.now().frame.clone(), (wanted.host.clone(), wanted.port));
        let said = tokio::select! {
            said = approvals.ask_connection(&frame, wanted, within) => said,
            () = stop.cancelled() => Ok(Said::Nothing),
        };
        let answer = match said {
            Ok(Said::Once | Said::Always) => Answer::Allowed,
            Ok(Said::No { why: None }) => Answer::Refused("somebody said no".to_owned()),
            Ok(Said::No { why: Some(why) }) => Answer::Refused(format!("somebody said no: {}", line(&why))),
            Ok(Said::Nothing) => {
                Answer::Refused("it is not on the list, and nobody answered in time".to_owned())
            }
            Err(error) => {
                tracing::warn!(%error, "nobody could be asked about {}: {error}", target.0);
                Answer::Refused("it is not on the list, and nobody could be asked".to_owned())
            }
        };
        served.questions.state.lock().end(&target, &answer, Instant::now());
        tell.send_replace(Some(answer));
    });
}

/// What would be put on the list; none of a name that no list can hold.
fn entry(host: &str, port: u16) -> Option<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_v6 = host.contains(':');
    // A word without a dot would be the name of a group.
    if !is_v6 && !host.contains('.') {
        return None;
    }
    Some(match (is_v6, port) {
        (_, 80 | 443) => host,
        (true, _) => format!("[{host}]:{port}"),
        (false, _) => format!("{host}:{port}"),
    })
}

/// Whether a yes would help: the list permits it then, and the address is none that nobody may reach.
fn can_be_asked(list: &AllowList, host: &str, port: u16) -> bool {
    let address: Option<IpAddr> = host.trim_end_matches('.').parse().ok();
    list.names(host, port) && address.is_none_or(can_be_listed)
}

/// What a program calls itself in `User-Agent`: the first word, when it is one.
pub(super) fn program(user_agent: Option<&str>) -> Option<String> {
    let name = user_agent?.split(['/', ' ', '(']).next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
    let good = (1..=32).contains(&name.len()) && name.bytes().all(plain) && name != "Mozilla";
    good.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(n: usize) -> Target {
        (format!("{n}.test"), 443)
    }

    #[test]
    fn a_host_is_asked_about_once_and_remembered_for_a_while() {
        let (mut state, now) = (State::default(), Instant::now());
        let Begun::Asks(tell, _) = state.begin(&target(1), now) else { panic!("it asks") };
        assert!(matches!(state.begin(&target(1), now), Begun::Joins(_)), "the same host waits with it");
        let no = Answer::Refused("somebody said no".to_owned());
        state.end(&target(1), &no, now);
        drop(tell);
        let Begun::Refused(why) = state.begin(&target(1), now + REMEMBERED / 2) else { panic!("remembered") };
        assert_eq!(why, "somebody said no");
        assert!(matches!(state.begin(&target(1), now + REMEMBERED), Begun::Asks(..)), "and forgotten");
    }

    #[test]
    fn a_frame_that_makes_up_hosts_asks_about_a_few() {
        let (mut state, now) = (State::default(), Instant::now());
        let mut open = Vec::new();
        for n in 0..100 {
            if let Begun::Asks(tell, _) = state.begin(&target(n), now) {
                open.push(tell);
            }
        }
        assert_eq!(open.len(), OPEN, "at the same time");
        let mut asked = OPEN;
        for n in 0..100 {
            state.end(&target(n), &Answer::Allowed, now);
            if let Begun::Asks(tell, _) = state.begin(&target(1000 + n), now) {
                asked += 1;
                state.end(&target(1000 + n), &Answer::Allowed, now);
                drop(tell);
            }
        }
        assert_eq!(asked, OFTEN, "within ten minutes");
        assert!(matches!(state.begin(&target(5000), now + REMEMBERED), Begun::Asks(..)));
    }

    #[test]
    fn a_question_that_died_is_asked_again() {
        let (mut state, now) = (State::default(), Instant::now());
        let Begun::Asks(tell, _) = state.begin(&target(1), now) else { panic!("it asks") };
        drop(tell);
        assert!(matches!(state.begin(&target(1), now), Begun::Asks(..)));
    }

    #[test]
    fn only_what_a_list_can_hold_is_asked_about() {
        let groups = crate::model::allow::AllowGroups::built_in().expect("groups");
        let asked = |host: &str, port: u16| {
            let list = groups.resolve([entry(host, port)?.as_str()]).ok()?;
            can_be_asked(&list, host, port).then_some(entry(host, port)).flatten()
        };
        for (host, port, listed) in [
            ("Registry.Example.org", 443, "registry.example.org"),
            ("example.org.", 80, "example.org"),
            ("git.example.org", 22, "git.example.org:22"),
            ("10.0.0.7", 5432, "10.0.0.7:5432"),
            ("fd00::7", 443, "fd00::7"),
            ("fd00::7", 5432, "[fd00::7]:5432"),
        ] {
            assert_eq!(asked(host, port).as_deref(), Some(listed), "{host}:{port}");
        }
        for (host, port) in [
            ("npm", 443),
            ("localhost", 80),
            ("127.0.0.1", 80),
            ("169.254.169.254", 80),
            ("::1", 443),
            ("a b.test", 443),
        ] {
            assert_eq!(asked(host, port), None, "{host}:{port}");
        }
    }

    #[test]
    fn a_program_is_called_what_it_calls_itself_when_that_is_a_name() {
        for (said, name) in [
            (Some("npm/10.2.4 node/v20"), Some("npm")),
            (Some("pip/23.0 {\"ci\":null}"), Some("pip")),
            (Some("curl"), Some("curl")),
            (Some("Mozilla/5.0 (X11)"), None),
            (Some("\u{1b}[2J"), None),
            (Some(""), None),
            (None, None),
        ] {
            assert_eq!(program(said).as_deref(), name, "{said:?}");
        }
    }
}
