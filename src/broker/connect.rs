//! CONNECT tunnels to other hosts, for what is on the frame's list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::admit::{Admitted, Want, admit};
use super::hello::{self, UNRECOGNIZED_NAME, Unfit};
use super::reply::{Body, empty};
use super::serve::{Job, Jobs, Served};
use super::traffic::{Counted, Host};
use crate::model::allow::Traffic::Web;

/// How much of a tunnel is in memory on its way: most of what goes through one is fetched.
const UP: usize = 16 * 1024;
const DOWN: usize = 64 * 1024;

/// Opens a tunnel.
pub(super) async fn tunnel(
    served: &Arc<Served>,
    jobs: &Jobs,
    host: &str,
    port: u16,
    request: Request<Incoming>,
) -> Response<Body> {
    let want = Want { host, port, plain: None, program: Want::program_of(request.headers()) };
    let Admitted { outside, traffic, counted } = match admit(served, &want).await {
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
            _ = tokio::io::copy_bidirectional_with_sizes(&mut inside, &mut outside, UP, DOWN) => {}
            () = pulse.stops(served.shared.idle) => {}
        }
        tell_cut(&served, &counted, &cut, &host, port);
    });
    if jobs.send(job).is_err() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    empty(StatusCode::OK)
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
