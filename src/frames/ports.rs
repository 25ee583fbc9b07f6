//! Which host ports a frame may have: leased by the store, probed on the host.

use std::collections::BTreeSet;

use super::error::FrameError;
use crate::host_ports::is_free;
use crate::model::frame::Frame;
use crate::model::port::{Port, PortPurpose, PortRange};
use crate::store::{Store, StoreError, ports};

/// Ports of the range that no frame has and that somebody else on this host holds, found while looking for
/// `wanted` free ones. The lease then avoids them.
pub(super) async fn busy_ports(
    store: &Store,
    range: PortRange,
    wanted: usize,
) -> Result<BTreeSet<Port>, FrameError> {
    let leased: BTreeSet<Port> =
        store.read(|db| ports::leased(db)).await?.into_iter().map(|(port, _, _)| port).collect();
    Ok(look_for(range, &leased, wanted, is_free))
}

/// Whether half of the range, or more, can be had: no frame has it, and nobody else on this host holds it.
pub(super) async fn are_half_free(store: &Store, range: PortRange) -> Result<bool, FrameError> {
    let leased: BTreeSet<Port> =
        store.read(|db| ports::leased(db)).await?.into_iter().map(|(port, _, _)| port).collect();
    // Each is tried on the host.
    let tried = tokio::task::spawn_blocking(move || half_is_free(range, &leased, is_free)).await;
    tried.map_err(|_| FrameError::Interrupted)
}

fn half_is_free(range: PortRange, leased: &BTreeSet<Port>, is_free: impl Fn(Port) -> bool) -> bool {
    let half = range.iter().count().div_ceil(2);
    range.iter().filter(|port| !leased.contains(port) && is_free(*port)).take(half).count() == half
}

fn look_for(
    range: PortRange,
    leased: &BTreeSet<Port>,
    wanted: usize,
    is_free: impl Fn(Port) -> bool,
) -> BTreeSet<Port> {
    let mut busy = BTreeSet::new();
    let mut found = 0;
    for port in range.iter().filter(|port| !leased.contains(port)) {
        if found == wanted {
            break;
        }
        if is_free(port) {
            found += 1;
        } else {
            busy.insert(port);
        }
    }
    busy
}

/// Gives the frame another port, because somebody else holds the old one; `held` are those of whom we know that.
pub(super) async fn exchange(
    store: &Store,
    frame: &Frame,
    purpose: PortPurpose,
    range: PortRange,
    held: &BTreeSet<Port>,
) -> Result<Port, FrameError> {
    let mut avoid = busy_ports(store, range, held.len() + 1).await?;
    avoid.extend(held);
    let id = frame.id.clone();
    store
        .write(move |tx| ports::exchange(tx, &id, purpose, range, &avoid))
        .await
        .map_err(|error: StoreError| no_free_port(error, range))
}

/// The store's word for a full range, in ours.
pub(super) fn no_free_port(error: StoreError, range: PortRange) -> FrameError {
    match error {
        StoreError::NoFreePort { .. } => FrameError::NoFreePort(range),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_hold_is_not_free() {
        let range = PortRange { first: 40_000, last: 40_009 };
        let leased = BTreeSet::from([Port(40_000), Port(40_002)]);
        let holding = |so_many: u16| half_is_free(range, &leased, |port| port.0 < 40_010 - so_many);
        assert!(holding(0) && holding(3), "five of ten are left");
        assert!(!holding(4));
        assert!(!half_is_free(range, &range.iter().collect(), |_| true));
    }

    #[test]
    fn busy_ports_are_collected_until_enough_free_ones_are_known() {
        let range = PortRange { first: 40_000, last: 40_009 };
        let leased = BTreeSet::from([Port(40_000)]);
        let foreign = [Port(40_001), Port(40_003), Port(40_008)];
        let busy = look_for(range, &leased, 2, |port| !foreign.contains(&port));
        assert_eq!(busy, BTreeSet::from([Port(40_001), Port(40_003)]));
        let all = look_for(range, &leased, 100, |port| !foreign.contains(&port));
        assert_eq!(all, BTreeSet::from(foreign));
    }
}
