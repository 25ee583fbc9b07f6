//! How many connections one address may hold.
//!
//! Places among the connections are few, and whoever can connect takes one for as long as a greeting may last,
//! with no token at all. One address must not have them all. This machine is an address like any other: a
//! stranger's program on it is one too, and its owner has the Unix socket, whose places nobody else can take.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::access::neighbourhood;

/// So many at once are told why they are turned away; the others are only let go of.
const FAREWELLS: usize = 64;
/// How long that may take.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
/// For whoever has all the connections that one address may have. Not 429: what sends webhooks through a tunnel shares its
/// address with others, takes a status below 500 for a last word, and would never send the message again.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
{\"code\":\"connections.too_many\",\"title\":\"this address holds as many connections as one may\",\"hint\":\"close some, or raise server.connections_per_address in the gateway's configuration\",\"status\":503}";

/// The places of one listener, by who holds them. Clones share them.
#[derive(Clone)]
pub struct ConnectionLimit {
    inner: Arc<Inner>,
}

struct Inner {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
    farewells: Semaphore,
}

/// The place of one connection, until it is dropped.
pub struct Seat {
    inner: Arc<Inner>,
    of: IpAddr,
}

impl ConnectionLimit {
    /// So many for each address.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (taken, farewells) = (Mutex::default(), Semaphore::new(FAREWELLS));
        Self { inner: Arc::new(Inner { most, taken, farewells }) }
    }

    /// A place, unless this address has all that it may have.
    #[must_use]
    pub fn take(&self, from: IpAddr) -> Option<Seat> {
        let of = neighbourhood(from);
        let mut taken = self.inner.taken.lock();
        let count = taken.entry(of).or_default();
        if *count >= self.inner.most {
            return None;
        }
        *count += 1;
        Some(Seat { inner: self.inner.clone(), of })
    }

    /// Says why, if it can be said without a greeting, and closes.
    pub async fn turn_away(&self, mut stream: TcpStream, is_tls: bool) {
        // With TLS nothing can be said before keys are made, and that is work for whoever makes us do it.
        if is_tls {
            return;
        }
        let Ok(_permit) = self.inner.farewells.try_acquire() else { return };
        let farewell = async {
            // An answer to nothing would puzzle whoever is about to ask.
            stream.peek(&mut [0_u8; 1]).await?;
            stream.write_all(TOO_MANY).await?;
            stream.shutdown().await?;
            // To close what was not read would take back what was said.
            let mut rest = [0_u8; 1024];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let _ = tokio::time::timeout(FAREWELL_WITHIN, farewell).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.inner.taken.lock();
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_and_they_come_back() {
        let seats = ConnectionLimit::new(2);
        let address = |text: &str| text.parse().expect("an address");
        let (first, second) = (seats.take(address("10.0.0.1")), seats.take(address("10.0.0.1")));
        assert!(first.is_some() && second.is_some() && seats.take(address("10.0.0.1")).is_none());
        assert!(seats.take(address("10.0.0.2")).is_some(), "the neighbour is somebody else");
        drop(first);
        assert!(seats.take(address("::ffff:10.0.0.1")).is_some());
        let six = [seats.take(address("2001:db8::1")), seats.take(address("2001:db8::2"))];
        assert!(six[0].is_some() && seats.take(address("2001:db8::3")).is_none(), "one network");
        drop((second, six));
        assert!(seats.inner.taken.lock().is_empty(), "nothing is remembered of who is gone");
    }
}
