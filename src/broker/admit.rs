//! Whether a connection may be made: by the frame's list, a loan, or the word of a person; then it is made.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::USER_AGENT;
use hyper::{HeaderMap, Response, StatusCode};
use tokio::net::TcpStream;

use super::dial::DialError;
use super::loans::Taken;
use super::reply::{Body, sentence};
use super::serve::Served;
use super::traffic::Host;
use super::{Client, questions};
use crate::model::allow::Traffic::{self, Web};
use crate::model::allow::{AllowList, PlainHttp};
use crate::model::network::NetworkMode;

/// A connection that may be used.
pub(super) struct Admitted {
    pub(super) outside: TcpStream,
    /// What may go through it.
    pub(super) traffic: Traffic,
    /// Where it is counted.
    pub(super) counted: Arc<Host>,
}

/// What a frame asks for.
pub(super) struct Want<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// Of plain HTTP: method and path.
    pub(super) plain: Option<(&'a str, &'a str)>,
    /// What the program calls itself.
    pub(super) program: Option<String>,
}

impl Want<'_> {
    /// The first word of `User-Agent`, which is whatever the frame says.
    pub(super) fn program_of(headers: &HeaderMap) -> Option<String> {
        questions::program(headers.get(USER_AGENT).and_then(|said| said.to_str().ok()))
    }

    /// What a list lets pass of it.
    fn on(&self, list: &AllowList) -> Option<Traffic> {
        match self.plain {
            None => list.traffic(self.host, self.port),
            Some((method, path)) => {
                let said = list.plain(self.host, self.port, method, path);
                (said == PlainHttp::Fine).then_some(Web)
            }
        }
    }
}

/// Decides, asks people where nothing is decided, dials, and says no with a reason that helps.
pub(super) async fn admit(served: &Arc<Served>, want: &Want<'_>) -> Result<Admitted, Response<Body>> {
    let (host, port) = (want.host, want.port);
    let Way { traffic, lent, asked } = way(served, want).await?;
    let client = served.client.now();
    // An address has one name here, however it is spelled.
    let name = host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |address| address.to_string());
    let give_back = |lent: Option<Taken>| {
        if let Some(lent) = lent {
            served.loans.give_back(lent);
        }
    };
    let counted = match served.shared.traffic.host(&client.frame, &name, port).await {
        Ok(counted) => counted,
        Err(error) => {
            give_back(lent);
            tracing::error!(%error, "what a frame may send cannot be read: {error}");
            return Err(sentence(StatusCode::SERVICE_UNAVAILABLE, "what was sent today cannot be read"));
        }
    };
    let room = counted.is_full().map_or(Ok(()), Err).and_then(|()| counted.take_connection());
    if let Err(why) = room {
        give_back(lent);
        return Err(refuse(served, want, &why, ""));
    }
    let is_listed = |address: IpAddr| {
        let address = address.to_string();
        client.allow.names(&address, port)
            || lent.as_ref().is_some_and(|lent| lent.permits(&address, port))
            || (asked && address == name)
    };
    match served.shared.dialer.dial(host, port, is_listed).await {
        Ok(outside) => {
            let _ = outside.set_nodelay(true);
            counted.note_allowed();
            Ok(Admitted { outside, traffic, counted })
        }
        Err(error @ (DialError::Private { .. } | DialError::Ourselves { .. })) => {
            give_back(lent);
            Err(refuse(served, want, &error.to_string(), ""))
        }
        Err(error @ DialError::Unreachable { .. }) => {
            give_back(lent);
            Err(sentence(StatusCode::BAD_GATEWAY, &error.to_string()))
        }
    }
}

/// Nobody is asked about it: whatever speaks it has no tunnel of its own, and no key is inside.
const SSH: u16 = 22;

/// By what a connection may pass.
struct Way {
    traffic: Traffic,
    /// The host was lent.
    lent: Option<Taken>,
    /// Somebody was asked, and said yes.
    asked: bool,
}

/// Whether a connection may pass, by the list, a loan, or the word of a person.
async fn way(served: &Arc<Served>, want: &Want<'_>) -> Result<Way, Response<Body>> {
    loop {
        let mut rules = served.questions.watch_rules();
        let client = served.client.now();
        if let Some(way) = by_the_rules(served, &client, want) {
            return Ok(way);
        }
        let advice = advice(&client, want);
        if let Some(why) = settled(&client, want) {
            return Err(refuse(served, want, &why, &advice));
        }
        match questions::ask(served, (want.host, want.port), want.program.clone(), &mut rules).await {
            Some(questions::Answer::Look) => {}
            Some(questions::Answer::Allowed) => {
                return Ok(Way { traffic: spoken_at(want), lent: None, asked: true });
            }
            Some(questions::Answer::Refused(why)) => return Err(refuse(served, want, &why, &advice)),
            None => return Err(refuse(served, want, "it is not on the list", &advice)),
        }
    }
}

/// Why nobody need be asked: it is decided.
fn settled(client: &Client, want: &Want<'_>) -> Option<String> {
    let (host, port) = (want.host, want.port);
    match client.network {
        NetworkMode::Sealed => return Some("the frame is sealed".to_owned()),
        // Those with a network need no broker.
        NetworkMode::Open => return Some("it is not on the list".to_owned()),
        NetworkMode::Allow => {}
    }
    if client.allow.denies(host, port) {
        return Some("it was denied".to_owned());
    }
    if port == SSH && !client.allow.names(host, port) {
        return Some("no ssh leads out of a frame; an https address of the repository does".to_owned());
    }
    client.allow.names(host, port).then(|| match want.plain {
        Some((method, path)) => format!("what is listed there is not {method} {path}"),
        None => "it is listed for some requests of plain HTTP only, which a tunnel would hide".to_owned(),
    })
}

/// What helps a frame that has a list.
fn advice(client: &Client, want: &Want<'_>) -> String {
    if client.network != NetworkMode::Allow {
        return String::new();
    }
    let (host, port) = (want.host, want.port);
    let listed = if matches!(port, 80 | 443) { host.to_owned() } else { format!("{host}:{port}") };
    format!("; on the host, `mimir frame allow {} {listed}` allows it", client.name)
}

/// What may be spoken where a person said yes: as if that host and port were listed.
fn spoken_at(want: &Want<'_>) -> Traffic {
    if want.plain.is_some() || matches!(want.port, 80 | 443) { Web } else { Traffic::Any }
}

fn by_the_rules(served: &Served, client: &Client, want: &Want<'_>) -> Option<Way> {
    if client.network == NetworkMode::Sealed {
        return None;
    }
    if let Some(traffic) = want.on(&client.allow) {
        return Some(Way { traffic, lent: None, asked: false });
    }
    let now_ms = served.shared.clock.now_ms();
    let lent = served.loans.take(now_ms, |list| want.on(list))?;
    Some(Way { traffic: lent.traffic, lent: Some(lent), asked: false })
}

/// Counts a refusal, and says why.
fn refuse(served: &Served, want: &Want<'_>, why: &str, advice: &str) -> Response<Body> {
    let (client, host, port) = (served.client.now(), want.host, want.port);
    served.refuse(&client, host, port, why);
    let text = format!("frame {} may not reach {host}:{port}: {why}{advice}", client.name);
    sentence(StatusCode::FORBIDDEN, &text)
}
