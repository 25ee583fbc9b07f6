//! Other hosts, for what is on the frame's list: who may be connected to, and CONNECT tunnels.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dial::DialError;
use super::hello::{self, UNRECOGNIZED_NAME, Unfit};
use super::loans::Taken;
use super::reply::{Body, empty, sentence};
use super::serve::{Job, Jobs, Served};
use super::traffic::{Counted, Host};
use crate::model::allow::{self, Traffic::Web};
use crate::model::network::NetworkMode;

/// Opens a tunnel.
pub(super) async fn tunnel(
    served: &Arc<Served>,
    jobs: &Jobs,
    host: &str,
    port: u16,
    request: Request<Incoming>,
) -> Response<Body> {
    let Admitted { outside, traffic, counted } = match admit(served, host, port).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    let (served, host) = (served.clone(), host.to_owned());
    let job: Job = Box::pin(async move {
        // An error means that the frame has gone; so does the tunnel.
        let Ok(inside) = hyper::upgrade::on(request).await else { return };
        let mut inside = TokioIo::new(inside);
        let mut outside = Counted::new(outside, counted.clone());
        if traffic == Web {
            let heard = match hello::greeting(&mut inside, &host).await {
                Ok(heard) => heard,
                Err(unfit) => return turn_away(&served, &counted, &mut inside, (&host, port), unfit).await,
            };
            if outside.write_all(&heard).await.is_err() {
                return;
            }
        }
        let (pulse, cut) = (outside.pulse(), outside.cut());
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
            () = pulse.stops(served.shared.idle) => {}
        }
        tell_cut(&served, &counted, &cut, &host, port);
    });
    if jobs.send(job).is_err() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    empty(StatusCode::OK)
}

/// A connection that may be used.
pub(super) struct Admitted {
    pub(super) outside: TcpStream,
    /// What may go through it.
    pub(super) traffic: allow::Traffic,
    /// Where it is counted.
    pub(super) counted: Arc<Host>,
}

/// Decides, dials, and says no with a reason that helps.
pub(super) async fn admit(served: &Served, host: &str, port: u16) -> Result<Admitted, Response<Body>> {
    let client = served.client.now();
    let refuse = |why: &str, advice: &str| {
        served.refuse(&client, host, port, why);
        let text = format!("frame {} may not reach {host}:{port}: {why}{advice}", client.name);
        Err(sentence(StatusCode::FORBIDDEN, &text))
    };
    if client.network == NetworkMode::Sealed {
        return refuse("the frame is sealed", "");
    }
    let now_ms = served.shared.clock.now_ms();
    let listed = client.allow.traffic(host, port);
    let lent = if listed.is_none() { served.loans.take(host, port, now_ms) } else { None };
    let Some(traffic) = listed.or_else(|| lent.as_ref().map(|lent| lent.traffic)) else {
        let listed = if matches!(port, 80 | 443) { host.to_owned() } else { format!("{host}:{port}") };
        let advice = format!("; on the host, `mimir frame allow {} {listed}` allows it", client.name);
        let why = if client.allow.denies(host, port) { "it was denied" } else { "it is not on the list" };
        // Only frames of that mode have a list; those with a network need no broker.
        let has_list = client.network == NetworkMode::Allow;
        return refuse(why, if has_list { &advice } else { "" });
    };
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
    if let Some(why) = counted.is_full() {
        give_back(lent);
        return refuse(&why, "");
    }
    let is_listed = |address: IpAddr| {
        let address = address.to_string();
        client.allow.permits(&address, port) || lent.as_ref().is_some_and(|lent| lent.permits(&address, port))
    };
    match served.shared.dialer.dial(host, port, is_listed).await {
        Ok(outside) => {
            let _ = outside.set_nodelay(true);
            counted.note_allowed();
            Ok(Admitted { outside, traffic, counted })
        }
        Err(error @ (DialError::Private { .. } | DialError::Ourselves { .. })) => {
            give_back(lent);
            refuse(&error.to_string(), "")
        }
        Err(error @ DialError::Unreachable { .. }) => {
            give_back(lent);
            Err(sentence(StatusCode::BAD_GATEWAY, &error.to_string()))
        }
    }
}

/// Ends a tunnel whose first bytes do not fit, and says why in a way that the client may show.
async fn turn_away(
    served: &Served,
    counted: &Host,
    inside: &mut (impl AsyncWrite + Unpin),
    (host, port): (&str, u16),
    unfit: Unfit,
) {
    let client = served.client.now();
    let (why, said) = match unfit {
        Unfit::Gone => return,
        Unfit::OtherName(why) => (why, UNRECOGNIZED_NAME.to_vec()),
        Unfit::NotTls(why) => {
            let said = format!("mimir: a tunnel to {host}:{port} must begin TLS with that host: {why}\r\n");
            (why, said.into_bytes())
        }
    };
    let why = format!(
        "a tunnel to it must begin TLS with that host: {why}; `--allow {host}:PORT` lists it for anything on a port of its own"
    );
    served.news.refused(&client, host, port, &why);
    counted.note_refused(&why);
    // The client may be gone already.
    let _ = inside.write_all(&said).await;
    let _ = inside.shutdown().await;
}

/// Tells of a connection that was cut because too much was sent, and why that is.
pub(super) fn tell_cut(
    served: &Served,
    counted: &Host,
    cut: &AtomicBool,
    host: &str,
    port: u16,
) -> Option<String> {
    let why = counted.is_full().filter(|_| cut.load(Ordering::Relaxed))?;
    served.news.refused(&served.client.now(), host, port, &why);
    counted.note_refused(&why);
    Some(format!("frame {} may not send more to {host}:{port}: {why}", served.client.now().name))
}
